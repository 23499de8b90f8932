// Tests of the reader that need no issuer, the vectors among them: node --test examples/feed-reader/reader.test.mjs
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { FeedReader, events } from './reader.mjs'

const issuer = 'https://id.example.com'
const b64 = (data) => Buffer.from(data).toString('base64url')
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()
const named = (kind, value) => b64(sha256(`${kind}:${value}`).subarray(0, 16))
const feedKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const tokenKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = (pair, kid, more) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig', ...more })
const keySet = JSON.stringify({ keys: [jwk(tokenKey, 'token'), jwk(feedKey, 'feed', { jeton_use: 'feed' })] })
const later = Math.floor(Date.now() / 1000) + 3600

// Log is an issuer's log.
class Log {
  constructor(inc = 'life-1', was) {
    Object.assign(this, { inc, was, entries: [], hashes: [sha256(`jeton-feed\n${inc}`)], as_of: Date.now() })
  }

  add(k, value, more = {}) {
    const n = this.entries.length + 1
    const e = { n, k, v: ['key', 'client', 'all'].includes(k) ? value : named(k, value), u: later, ...more }
    this.entries.push(e)
    this.hashes.push(sha256(this.hashes.at(-1), `${n}\n${e.k}\n${e.u}\n${e.t ?? 0}\n${e.v}`))
    return this
  }

  get n() { return this.entries.length }
  batch(from, to = this.n) { return { inc: this.inc, from, to, entries: this.entries.slice(from, to) } }
  snapshot(from = 0, to = this.n) { return { ...this.batch(from, to), hash: b64(this.hashes[from]) } }

  heartbeat(claims = {}, { kid = 'feed', key = feedKey, ...header } = {}) {
    const payload = { iss: issuer, inc: this.inc, was: this.was, n: this.n, hash: b64(this.hashes[this.n]), first: 1, jwks: b64(sha256(keySet)), as_of: this.as_of++, nonce: 'nonce', ...claims }
    const input = [{ typ: 'jeton-feed+jwt', alg: 'ES256', kid, ...header }, payload].map((part) => b64(JSON.stringify(part))).join('.')
    return `${input}.${b64(sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }))}`
  }
}

const hello = () => ({ nonce: 'nonce', sent: performance.now(), sentWall: Date.now() })

// following is a reader that has read a log.
async function following(log, said = hello()) {
  const reader = new FeedReader(issuer, 'https://api.example.com', 'secret')
  reader.metadata = { issuer, jwks_uri: issuer + '/jwks' }
  reader.fetch = async () => Buffer.from(keySet)
  if (!log) return reader
  await reader.take('snapshot', JSON.stringify(log.snapshot()), said)
  await reader.take('heartbeat', log.heartbeat(), said)
  return reader
}

// The vectors that docs/revocation-feed.md describes.
test('vectors', async (t) => {
  const vectors = JSON.parse(readFileSync(new URL('../../oauth/feed/testdata/vectors.json', import.meta.url)))
  const begun = () => {
    const reader = new FeedReader(vectors.issuer, 'https://api.example.com', 'secret')
    reader.metadata = { issuer: vectors.issuer, jwks_uri: vectors.issuer + '/jwks' }
    reader.fetch = async () => Buffer.from(vectors.jwks)
    return reader
  }
  // Follows a stream that comes octet by octet, and gives what was wrong with it.
  const read = async (reader, { stream, nonce }) => {
    const said = { ...hello(), nonce }
    const body = new ReadableStream({
      start(c) {
        for (const octet of Buffer.from(stream)) c.enqueue(Uint8Array.of(octet))
        c.close()
      },
    })
    try {
      for await (const { event, data } of events(body)) await reader.take(event, data, said)
    } catch (e) {
      return e
    }
  }
  const { start, inc, entries } = vectors.hashes
  for (const { k, value, v } of vectors.names) {
    await t.test(`name of ${k} ${value}`, async () => {
      const reader = begun()
      const entry = { n: 1, k, v, u: later, t: 9 }
      reader.takeBatch({ inc, from: 0, to: 1, hash: start, entries: [entry] }, true)
      const claims = { token: { jti: value }, grant: { jti: value + '.1' }, session: { sid: value }, subject: { sub: value, rev: 0 }, client: { client_id: value, rev: 0 }, all: { rev: 0 }, key: {} }[k]
      assert.equal(reader.revoked(claims, k === 'key' ? value : undefined), true)
      assert.equal(reader.revoked({ jti: 'x.1', sid: 'x', sub: 'x', client_id: 'x', rev: 1 }, 'x'), false)
    })
  }
  await t.test('running hashes', () => {
    const reader = begun()
    assert.equal(b64(sha256(`jeton-feed\n${inc}`)), start)
    reader.takeBatch({ inc, from: 0, to: 0, hash: start, entries: [] }, true)
    for (const { hash, ...entry } of entries) {
      reader.takeBatch({ inc, from: entry.n - 1, to: entry.n, entries: [entry] })
      assert.equal(b64(reader.at.hash), hash, `at ${entry.n}`)
    }
  })
  for (const { name, jws, valid, claims } of vectors.heartbeats) {
    await t.test(`heartbeat: ${name}`, async () => {
      const reader = begun(), last = entries.at(-1)
      reader.at = { inc, from: 0, n: last.n, hash: Buffer.from(last.hash, 'base64url') }
      const taken = reader.take('heartbeat', jws, { ...hello(), answered: true })
      await (valid ? taken : assert.rejects(taken))
      const { received, ...said } = reader.last ?? {}
      assert.deepEqual(said, claims ?? {})
      assert.equal(reader.jwks, valid ? vectors.jwks_hash : reader.jwks)
    })
  }
  for (const transcript of vectors.transcripts) {
    await t.test(`transcript: ${transcript.name}`, async () => {
      const reader = begun(), wrong = await read(reader, transcript)
      assert.equal(wrong === undefined, transcript.ok, wrong)
      assert.equal(reader.last?.n ?? 0, transcript.n)
      if (transcript.ok) assert.equal(reader.last.hash, transcript.hash)
    })
  }
  const whole = begun()
  assert.equal(await read(whole, vectors.transcripts.find(({ name }) => name === 'whole')), undefined)
  for (const { name, kid, claims, revoked } of vectors.tokens) {
    await t.test(`token: ${name}`, () => assert.equal(whole.revoked(claims, kid), revoked))
  }
})

test('what is revoked', async () => {
  const token = { jti: 'g.1', sid: 's', sub: 'ada', client_id: 'shop', rev: 0, iat: 1000 }
  for (const [kind, value, revoked, others] of [
    ['token', 'g.1', [token, { jti: 'g.1' }], [{ ...token, jti: 'g.2' }]],
    ['grant', 'g', [token, { jti: 'g.2' }], [{ ...token, jti: 'h.1' }, { ...token, jti: 'g' }, { ...token, jti: 'g.1.1' }]],
    ['grant', 'g.1', [{ jti: 'g.1.1' }], [token]],
    ['session', 's', [token], [{ ...token, sid: 't' }, { ...token, sid: undefined }]],
    ['subject', 'ada', [token, { sub: 'ada', iat: 1000 }, { sub: 'ada' }], [{ ...token, rev: 1 }, { ...token, sub: 'bob' }, { sub: 'ada', iat: 1001 }, { ...token, sub: undefined }]],
    ['client', 'shop', [token], [{ ...token, rev: 1 }, { ...token, client_id: 'club' }]],
    ['all', '', [token, {}], [{ ...token, rev: 1 }, { iat: 1001 }]],
    ['key', 'k1', [], [token]],
  ]) {
    const reader = await following(new Log().add(kind, value, ['subject', 'client', 'all'].includes(kind) ? { t: 1000 } : {}))
    for (const claims of revoked) assert.equal(reader.revoked(claims, 'k2'), true, `${kind} ${value}: ${JSON.stringify(claims)}`)
    for (const claims of others) assert.equal(reader.revoked(claims, 'k2'), false, `${kind} ${value}: ${JSON.stringify(claims)}`)
    assert.equal(reader.revoked(token, 'k1'), kind === 'key' || revoked.includes(token))
  }
})

test('cutoffs of one name compose', async () => {
  const reader = await following(new Log().add('subject', 'ada', { t: 5, u: later }).add('subject', 'ada', { t: 3, u: later - 9 }))
  assert.deepEqual([...reader.entries.values()], [{ u: later, n: 2, t: 5 }])
})

test('heartbeats that are not taken', async (t) => {
  const log = new Log().add('token', 'a').add('token', 'b')
  const old = new Log().add('token', 'a')
  const fork = new Log().add('token', 'a').add('token', 'c')
  const plain = (beat) => { const [h, , s] = beat.split('.'); return `${h}.${b64(JSON.stringify({ iss: issuer }))}.${s}` }
  for (const [name, event, said] of [
    ['another type', log.heartbeat({}, { typ: 'at+jwt' })],
    ['another algorithm', log.heartbeat({}, { alg: 'none' })],
    ['a key for tokens', log.heartbeat({}, { kid: 'token', key: tokenKey })],
    ['an unknown key', log.heartbeat({}, { kid: 'other' })],
    ['another key', log.heartbeat({}, { key: tokenKey })],
    ['another payload', plain(log.heartbeat())],
    ['a fourth part', log.heartbeat() + '.x'],
    ['no signature', log.heartbeat().replace(/[^.]*$/, '')],
    ['another issuer', log.heartbeat({ iss: 'https://evil.example' })],
    ['more entries', log.heartbeat({ n: 3 })],
    ['fewer entries', log.heartbeat({ n: 1, hash: b64(log.hashes[1]) })],
    ['other entries', log.heartbeat({ hash: b64(fork.hashes[2]) })],
    ['another log', log.heartbeat({ inc: 'life-2' })],
    ['an earlier time', log.heartbeat({ as_of: log.as_of - 60_000 })],
    ['a snapshot that was cut', log.heartbeat({ first: 0 })],
    ['no nonce', log.heartbeat({ nonce: undefined }), hello()],
    ['the nonce of another', log.heartbeat({ nonce: 'other' }), hello()],
    ['no heartbeat', 'x'],
  ]) {
    await t.test(name, async () => {
      const reader = await following(log)
      const { last, proof } = reader
      await assert.rejects(reader.take('heartbeat', event, said ?? { ...hello(), answered: true }))
      assert.equal(reader.at, null, 'it begins again')
      assert.equal(reader.last, last)
      assert.equal(reader.proof, proof)
      assert.equal(reader.revoked({ jti: 'b' }), true)
    })
  }
  for (const [name, other, fine] of [
    ['rolled back', old],
    ['forked', fork],
    ['restored, without a word of it', new Log('life-2')],
    ['restored', new Log('life-2', ['life-0', 'life-1']), true],
  ]) {
    await t.test(name, async () => {
      const reader = await following(log), said = hello()
      other.as_of = log.as_of + 1
      await reader.take('snapshot', JSON.stringify(other.snapshot()), said)
      const taken = reader.take('heartbeat', other.heartbeat(), said)
      await (fine ? taken : assert.rejects(taken))
      assert.equal(reader.revoked({ jti: 'b' }), true, 'what was learnt stays')
    })
  }
})

test('batches that are not taken', async () => {
  const log = new Log().add('token', 'a').add('token', 'b').add('token', 'c')
  const change = (more) => ({ ...log.batch(2), entries: [{ ...log.entries[2], ...more }] })
  for (const batch of [
    log.batch(0), log.batch(1), { ...log.batch(2), inc: 'other' }, { ...log.batch(2), to: 4 }, { ...log.batch(2), from: 1 },
    change({ n: 4 }), change({ u: 0 }), change({ v: 'short' }), change({ v: undefined }), change({ k: 'device' }), null, { ...log.batch(2), entries: undefined },
  ]) {
    const reader = await following(new Log().add('token', 'a').add('token', 'b'))
    await assert.rejects(reader.take('revocations', JSON.stringify(batch), {}), JSON.stringify(batch))
    assert.equal(reader.at, null)
    assert.equal(reader.revoked({ jti: 'a' }), true)
    assert.equal(reader.stale() === Infinity, batch?.entries?.[0].k === 'device', 'a kind that is not known is one of which nothing is known')
  }
})

test('entries are forgotten by the clock of the issuer alone', async () => {
  const log = new Log().add('token', 'a', { u: later }).add('token', 'b', { u: later + 10 })
  const reader = await following(log)
  const now = Date.now
  Date.now = () => now() + 86_400_000
  try {
    await reader.take('heartbeat', log.heartbeat(), { answered: true })
    assert.ok(reader.now() > later * 1000, 'but tokens expire by both')
  } finally {
    Date.now = now
  }
  assert.equal(reader.entries.size, 2)
  log.as_of = (later + 1) * 1000
  await reader.take('heartbeat', log.heartbeat(), { answered: true })
  assert.deepEqual([reader.revoked({ jti: 'a' }), reader.revoked({ jti: 'b' })], [false, true])
  assert.ok(reader.now() > later * 1000)
})

test('how stale it is', async () => {
  let mono = 1_000_000, wall = 1_700_000_000_000
  const [now, dateNow] = [performance.now, Date.now]
  performance.now = () => mono
  Date.now = () => wall
  const passes = (ms) => { mono += ms; wall += ms }
  try {
    const log = new Log(), said = hello()
    assert.equal((await following()).stale(), Infinity)
    const reader = await following(log, said)
    const begun = reader.last.as_of
    const beats = (ms) => reader.take('heartbeat', log.heartbeat({ as_of: begun + ms }), said)
    passes(700)
    assert.equal(reader.stale(), 700)
    passes(300)
    await beats(1000)
    assert.equal(reader.stale(), 0)
    passes(4000) // a heartbeat was held back for three seconds
    await beats(2000)
    assert.equal(reader.stale(), 3000)
    await beats(2000) // and comes again
    assert.equal(reader.stale(), 3000)
    wall -= 3_600_000
    await beats(5000)
    assert.equal(reader.stale(), 0, 'a clock that is set back changes nothing')
    passes(1000)
    await beats(3_600_000) // the clock of the issuer leaps
    passes(800)
    assert.equal(reader.stale(), 800)
    wall += 2 * 3_600_000 // the machine slept, and the monotonic clock with it
    assert.ok(reader.stale() > 3000)
  } finally {
    performance.now = now
    Date.now = dateNow
  }
})

test('a stream in pieces, cut, and gone on with', async (t) => {
  const log = new Log().add('token', 'é').add('client', 'café')
  const asked = []
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, base), json = { 'content-type': 'application/json' }
    if (url.pathname === '/jwks') return response.writeHead(200, json).end(keySet)
    if (url.pathname !== '/revocations') return response.writeHead(200, json).end(JSON.stringify({ issuer: base, jwks_uri: base + '/jwks', revocation_feed_endpoint: base + '/revocations' }))
    assert.equal(request.headers.authorization, 'Basic ' + Buffer.from('https%3A%2F%2Fapi.example.com:a%20%C3%A9').toString('base64'))
    asked.push([url.searchParams.get('after'), url.searchParams.get('inc')])
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const beat = log.heartbeat({ iss: base, nonce: url.searchParams.get('nonce') })
    const first = asked.length === 1
    const text = first
      ? `event: snapshot\nid: 2\ndata: ${JSON.stringify(log.snapshot())}\n\n: not confirmed\n\nevent: heartbeat\nid: 2\ndata: ${beat}\n\nevent: revocations\ndata: {"inc"`
      : `event: revocations\ndata: ${JSON.stringify(log.batch(2))}\n\nevent: unheard-of\ndata: x\n\nevent: heartbeat\nid: 3\ndata: ${beat}\n\n`
    for (const octet of Buffer.from(text)) response.write(Buffer.of(octet))
    if (first) response.end() // in the middle of an event
  })
  const base = await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)))
  t.after(() => { server.closeAllConnections(); server.close() })
  const reader = new FeedReader(base, 'https://api.example.com', 'a é')
  t.after(() => reader.stop())
  reader.follow()
  await once(reader, 'heartbeat')
  assert.equal(reader.revoked({ client_id: 'café', rev: 1 }), true)
  log.add('token', 'third')
  await once(reader, 'heartbeat')
  assert.deepEqual(asked, [[null, null], ['2', 'life-1']])
  assert.equal(reader.revoked({ jti: 'third' }), true)
  assert.equal(reader.entries.size, 3)
})
