// A reader of Jeton's revocation feed for Node 18 or later, without dependencies. It was
// written from docs/revocation-feed.md; the steps are those of its "What a reader does".
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const KINDS = ['token', 'grant', 'session', 'key', 'subject', 'client', 'all']
const PLAIN = ['key', 'client', 'all']
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()
const encode = (octets) => octets.toString('base64url')
const decode = (text) => Buffer.from(text, 'base64url')
const name = (kind, value) => `${kind}:${PLAIN.includes(kind) ? value : encode(sha256(`${kind}:${value}`).subarray(0, 16))}`
const monotonic = () => performance.now()
const must = (holds, otherwise) => { if (!holds) throw new Error(otherwise) }

// FeedReader emits 'revoked' (an entry), 'heartbeat' (its claims) and 'trouble' (an error).
// A token may be taken if stale() is low, it has not expired by now(), and revoked() is false.
export class FeedReader extends EventEmitter {
  entries = new Map() // { u, n, t } by name, from all that was ever read
  keys = new Map() // the feed's own, by kid
  at = null // { inc, from, n, hash }: where the reader stands; null: it begins with a snapshot
  last = null // the newest heartbeat, with the monotonic time at which it was received
  proof = null // when the nonce of the stream was sent, and what time it was at the issuer then

  // id and secret are the protected API's identifier and introspection secret.
  constructor(issuer, id, secret) {
    super()
    this.issuer = issuer
    this.credentials = 'Basic ' + Buffer.from([id, secret].map(encodeURIComponent).join(':')).toString('base64')
  }

  // revoked tells whether a token is revoked, by its claims and the kid that it was signed with.
  revoked(claims, kid) {
    const find = (kind, value) => value === undefined ? undefined : this.entries.get(name(kind, value))
    const before = (cutoff) => cutoff && (Number.isInteger(claims.rev) ? claims.rev < cutoff.n : !(claims.iat > cutoff.t))
    const grant = claims.jti?.includes('.') ? claims.jti.slice(0, claims.jti.lastIndexOf('.')) : undefined
    return Boolean(find('token', claims.jti) || find('grant', grant) || find('session', claims.sid) || find('key', kid) ||
      before(find('subject', claims.sub)) || before(find('client', claims.client_id)) || before(find('all', '')))
  }

  // stale is how old what is known may be, in ms (step 5). The monotonic clock may stand still
  // while the machine sleeps: the faster of two clocks counts.
  stale() {
    if (!this.proof) return Infinity
    const passed = Math.max(monotonic() - this.proof.sent, Date.now() - this.proof.sentWall)
    return Math.max(passed - (this.last.as_of - this.proof.as_of), monotonic() - this.last.received)
  }

  // now is the time by which tokens expire, in ms (step 7).
  now() {
    return Math.max(Date.now(), this.last ? this.last.as_of + monotonic() - this.last.received : 0)
  }

  // follow follows the feed until stop.
  async follow() {
    while (!this.stopped) {
      await this.stream().catch((e) => this.stopped || this.emit('trouble', e))
      await sleep(1000 * Math.random()) // not all readers at once
    }
  }

  stop() {
    this.stopped = true
    this.connection?.abort()
  }

  // stream reads one stream to its end.
  async stream() {
    const connection = this.connection = new AbortController()
    const silence = setTimeout(() => connection.abort(new Error('nothing was heard for 5 seconds')), 5000)
    try {
      this.metadata ??= JSON.parse(await this.fetch(`${this.issuer}/.well-known/openid-configuration`))
      must(this.metadata.issuer === this.issuer, 'the metadata is of another issuer')
      const hello = { nonce: encode(randomBytes(16)), sent: monotonic(), sentWall: Date.now() }
      const query = new URLSearchParams({ nonce: hello.nonce, ...(this.at && { after: this.at.n, inc: this.at.inc }) })
      const response = await fetch(`${this.metadata.revocation_feed_endpoint}?${query}`, {
        headers: { accept: 'text/event-stream', authorization: this.credentials }, signal: connection.signal, redirect: 'error',
      })
      must(response.status === 200, `the feed answers ${response.status}`)
      for await (const { event, data } of events(response.body, () => silence.refresh())) {
        await this.take(event, data, hello)
        // Held back, or the two clocks run apart: a new nonce tells.
        must(event !== 'heartbeat' || this.stale() < 2000 && monotonic() - hello.sent < 3_600_000, 'time for a new stream')
      }
    } finally {
      clearTimeout(silence)
      connection.abort()
    }
  }

  // take takes an event. After one that is wrong the reader begins again, with what it knows.
  async take(event, data, hello) {
    try {
      if (event === 'heartbeat') await this.takeHeartbeat(data, hello)
      else if (event === 'snapshot' || event === 'revocations') this.takeBatch(JSON.parse(data), event === 'snapshot')
    } catch (e) {
      this.at = null
      throw e
    }
  }

  // takeBatch adds entries (steps 1, 2 and 4).
  takeBatch(batch, snapshot) {
    if (snapshot) this.at = { inc: batch.inc, from: batch.from, n: batch.from, hash: decode(batch.hash) }
    const { at, entries } = this
    must(at && batch.inc === at.inc && batch.from === at.n && batch.to === batch.from + batch.entries.length, 'a batch does not follow')
    for (const { n, k, v, u, t = 0 } of batch.entries) {
      if (!KINDS.includes(k)) this.proof = null // revoked is what nobody here can tell
      must(KINDS.includes(k) && n === at.n + 1 && u > 0 && (PLAIN.includes(k) || /^[\w-]{21}[AQgw]$/.test(v)), `entry ${n} can't be read`)
      const had = entries.get(`${k}:${v}`) ?? { u: 0, n: 0, t: 0 }
      entries.set(`${k}:${v}`, { u: Math.max(u, had.u), n: Math.max(n, had.n), t: Math.max(t, had.t) })
      at.hash = sha256(at.hash, `${n}\n${k}\n${u}\n${t}\n${v}`)
      at.n = n
      this.emit('revoked', { n, k, v, u, t })
    }
  }

  // takeHeartbeat checks a heartbeat (step 3), and keeps it.
  async takeHeartbeat(jws, hello) {
    const received = monotonic()
    const beat = await this.verified(jws)
    const { at, last } = this
    must(beat.iss === this.issuer, 'a heartbeat of another issuer')
    must(at && beat.inc === at.inc && beat.n === at.n && beat.hash === encode(at.hash), 'a heartbeat of other entries than these')
    must(at.from < beat.first, 'the snapshot begins too late')
    if (last && beat.inc !== last.inc) must(beat.was?.includes(last.inc), 'another log, which does not name the one before')
    else if (last) must(beat.n >= last.n && beat.as_of >= last.as_of && (beat.n > last.n || beat.hash === last.hash), 'the log went back')
    must(hello.answered || beat.nonce === hello.nonce, 'the first heartbeat lacks the nonce')
    if (!hello.answered) this.proof = { ...hello, as_of: beat.as_of }
    hello.answered = true
    this.last = { ...beat, received }
    if (beat.jwks !== this.jwks) await this.fetchKeys() // step 8
    // By the issuer's clock: this machine's may be set forward, and back again.
    for (const [key, entry] of this.entries) if (entry.u * 1000 < beat.as_of) this.entries.delete(key)
    this.emit('heartbeat', beat)
  }

  // verified is what a heartbeat says, signed by a key of the feed.
  async verified(jws) {
    const [header, payload, signature, ...more] = jws.split('.')
    const { typ, alg, kid } = JSON.parse(decode(header))
    must(typ === 'jeton-feed+jwt' && alg === 'ES256' && more.length === 0, 'not a heartbeat')
    if (!this.keys.has(kid)) await this.fetchKeys()
    const key = this.keys.get(kid)
    must(key && verify('sha256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, decode(signature)), 'a heartbeat without a good signature')
    return JSON.parse(decode(payload))
  }

  async fetchKeys() {
    const document = await this.fetch(this.metadata.jwks_uri)
    const keys = JSON.parse(document).keys.filter((key) => key.jeton_use === 'feed' && key.crv === 'P-256')
    this.keys = new Map(keys.map((key) => [key.kid, createPublicKey({ key, format: 'jwk' })]))
    this.jwks = encode(sha256(document))
  }

  async fetch(url) {
    const response = await fetch(url, { signal: this.connection?.signal, redirect: 'error', cache: 'no-store' })
    must(response.status === 200, `${url} answers ${response.status}`)
    return Buffer.from(await response.arrayBuffer())
  }
}

// events takes Server-Sent Events out of a body. A comment only tells that somebody is there.
export async function* events(body, heard = () => {}) {
  let rest = ''
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    heard()
    const blocks = (rest + text).split(/\r?\n\r?\n/)
    rest = blocks.pop()
    must(rest.length < 8 << 20, 'an event has no end')
    for (const block of blocks) yield Object.fromEntries(block.split(/\r?\n/).map((line) => /^(\w*): (.*)/.exec(line)?.slice(1) ?? []))
  }
}

// On the command line it prints what is revoked: JETON_API_SECRET=… node reader.mjs ISSUER API_ID
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [issuer, id] = process.argv.slice(2)
  if (!id || !process.env.JETON_API_SECRET) throw new Error('usage: JETON_API_SECRET=… node reader.mjs ISSUER API_ID')
  const reader = new FeedReader(issuer, id, process.env.JETON_API_SECRET)
  reader.once('heartbeat', ({ n }) => console.log(`following; ${n} is the newest entry`))
  reader.on('revoked', ({ n, k, v, u }) => console.log(`${n}: ${k} ${v} until ${new Date(u * 1000).toISOString()}`))
  reader.on('trouble', (e) => console.error(`${e.message}; what is known is ${Math.round(reader.stale())} ms old`))
  await reader.follow()
}
