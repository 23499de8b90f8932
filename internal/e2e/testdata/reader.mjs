// The other side of feed_reader_test.go: follows an issuer's feed with the reader of
// examples/, and answers questions. The first line that comes in says whom to follow;
// each one after it is a token's claims and kid, or nothing to hear how it stands.
import readline from 'node:readline'
import { FeedReader } from '../../../examples/feed-reader/reader.mjs'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { issuer, id, secret } = JSON.parse((await lines.next()).value)
const reader = new FeedReader(issuer, id, secret)
reader.on('trouble', (e) => console.error(e.message))
reader.follow()

let worst = 0 // staleness since the last question
const look = () => { worst = Math.max(worst, Math.min(reader.stale(), 1e9)) }
setInterval(look, 20)
for await (const line of lines) {
  const { claims, kid } = JSON.parse(line)
  look()
  console.log(JSON.stringify({ revoked: reader.revoked(claims ?? {}, kid), stale: Math.min(reader.stale(), 1e9), worst, head: reader.last?.n ?? -1 }))
  worst = 0
}
process.exit(0)
