// Each feature of the standards by openid-client and oauth4webapi, which the OpenID
// Foundation certified. The test on the other side of stdin and stdout is the browser, as
// in flow.mjs; the first line that comes in says which feature.
import assert from 'node:assert/strict'
import https from 'node:https'
import readline from 'node:readline'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = async () => (await lines.next()).value
const open = async (address) => {
  console.log(JSON.stringify({ open: address.href ?? address }))
  return new URL(await told())
}

const task = JSON.parse(await told())
const issuer = new URL(task.issuer)

const params = { PS256: { name: 'RSA-PSS', hash: 'SHA-256' }, ES256: { name: 'ECDSA', namedCurve: 'P-256' } }
const key = async (jwk) => ({ key: await crypto.subtle.importKey('jwk', jwk, params[jwk.alg], false, ['sign']), kid: jwk.kid })

const authentication = async () => {
  switch (task.method) {
    case 'private_key_jwt':
      return client.PrivateKeyJwt(await key(task.jwk))
    case 'tls_client_auth':
      return client.TlsClientAuth()
    case 'none':
      return client.None()
  }
  return client.ClientSecretBasic(task.secret)
}

// Requests over connections with the client's certificate.
const certified = (address, options) =>
  new Promise((resolve, reject) => {
    const headers = Object.fromEntries(new Headers(options.headers))
    const body = options.body === undefined ? undefined : String(options.body)
    const request = https.request(address, { method: options.method, headers, ca: process.env.CA_PEM, cert: task.cert, key: task.certKey, agent: false }, (answer) => {
      const parts = []
      answer.on('data', (part) => parts.push(part))
      answer.on('end', () => {
        const of = new Headers()
        for (const [name, value] of Object.entries(answer.headers)) of.set(name, String(value))
        resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: of }))
      })
    })
    request.on('error', reject)
    request.end(body)
  })

const discover = async () => {
  const options = task.cert ? { [client.customFetch]: certified } : {}
  const config = await client.discovery(issuer, task.id, task.metadata ?? {}, await authentication(), options)
  client.enableNonRepudiationChecks(config)
  return config
}

const begin = async (more = {}) => {
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const nonce = client.randomNonce()
  const parameters = {
    redirect_uri: task.redirect,
    scope: task.scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...more,
  }
  return { parameters, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } }
}

const good = async (config, tokens, options) => {
  const claims = tokens.claims()
  const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub, options)
  assert.equal(info.sub, claims.sub)
  return claims
}

const features = {
  async par() {
    const config = await discover()
    const { parameters, checks } = await begin()
    const address = await client.buildAuthorizationUrlWithPAR(config, parameters)
    assert.ok(address.searchParams.get('request_uri').startsWith('urn:ietf:params:oauth:request_uri:'))
    await good(config, await client.authorizationCodeGrant(config, await open(address), checks))
  },

  async jar() {
    const config = await discover()
    const { parameters, checks } = await begin()
    const address = await client.buildAuthorizationUrlWithJAR(config, parameters, await key(task.jwk))
    await good(config, await client.authorizationCodeGrant(config, await open(address), checks))
  },

  async jarm() {
    const config = await discover()
    client.useJwtResponseMode(config)
    const { parameters, checks } = await begin()
    const callback = await open(client.buildAuthorizationUrl(config, parameters))
    assert.deepEqual([...callback.searchParams.keys()], ['response'])
    await good(config, await client.authorizationCodeGrant(config, callback, checks))
  },

  // PAR, with a signed request, a signed response and bound tokens: FAPI 2.0 Message Signing.
  async fapi() {
    const config = await discover()
    client.useJwtResponseMode(config)
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
    const { parameters, checks } = await begin()
    const signed = await client.buildAuthorizationUrlWithJAR(config, parameters, await key(task.jwk))
    const address = await client.buildAuthorizationUrlWithPAR(config, signed.searchParams, { DPoP })
    const tokens = await client.authorizationCodeGrant(config, await open(address), checks, undefined, { DPoP })
    assert.equal(tokens.token_type, 'dpop')
    await good(config, tokens, { DPoP })
    const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
    await good(config, fresh, { DPoP })
  },

  async dpop() {
    const config = await discover()
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
    const { parameters, checks } = await begin()
    parameters.dpop_jkt = await DPoP.calculateThumbprint()
    const tokens = await client.authorizationCodeGrant(config, await open(client.buildAuthorizationUrl(config, parameters)), checks, undefined, { DPoP })
    assert.equal(tokens.token_type, 'dpop')
    await good(config, tokens, { DPoP })
    const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
    assert.equal(fresh.token_type, 'dpop')
    // A public client's refresh token is of no use to another key.
    const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
    await assert.rejects(client.refreshTokenGrant(config, fresh.refresh_token, undefined, { DPoP: other }))
  },

  async mtls() {
    const config = await discover()
    const { parameters, checks } = await begin()
    const address = await client.buildAuthorizationUrlWithPAR(config, parameters)
    const tokens = await client.authorizationCodeGrant(config, await open(address), checks)
    await good(config, tokens)
  },

  async hybrid() {
    const config = await discover()
    client.useCodeIdTokenResponseType(config)
    const { parameters, checks } = await begin()
    await good(config, await client.authorizationCodeGrant(config, await open(client.buildAuthorizationUrl(config, parameters)), checks))
  },

  async implicit() {
    const config = await discover()
    client.useIdTokenResponseType(config)
    const { parameters, checks } = await begin()
    delete parameters.code_challenge
    delete parameters.code_challenge_method
    const claims = await client.implicitAuthentication(config, await open(client.buildAuthorizationUrl(config, parameters)), checks.expectedNonce, {
      expectedState: checks.expectedState,
    })
    assert.equal(claims.name, 'Ada Lovelace')
  },

  async device() {
    const config = await discover()
    const asked = await client.initiateDeviceAuthorization(config, { scope: task.scope })
    assert.ok(asked.verification_uri_complete.includes(encodeURIComponent(asked.user_code)))
    await open(asked.verification_uri_complete)
    const tokens = await client.pollDeviceAuthorizationGrant(config, asked)
    await good(config, tokens)
  },

  // The same by oauth4webapi alone, step by step.
  async webapi() {
    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer))
    const me = { client_id: task.id }
    const auth = oauth.PrivateKeyJwt(await key(task.jwk))
    const DPoP = oauth.DPoP(me, await oauth.generateKeyPair('ES256'))
    const verifier = oauth.generateRandomCodeVerifier()
    const parameters = new URLSearchParams({
      response_type: 'code',
      redirect_uri: task.redirect,
      scope: task.scope,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    })
    const pushed = await oauth.processPushedAuthorizationResponse(as, me, await oauth.pushedAuthorizationRequest(as, me, auth, parameters, { DPoP }))
    const address = new URL(as.authorization_endpoint)
    address.searchParams.set('client_id', task.id)
    address.searchParams.set('request_uri', pushed.request_uri)
    const callback = oauth.validateAuthResponse(as, me, await open(address), oauth.expectNoState)
    const answer = await oauth.authorizationCodeGrantRequest(as, me, auth, callback, task.redirect, verifier, { DPoP })
    const tokens = await oauth.processAuthorizationCodeResponse(as, me, answer, { requireIdToken: true })
    assert.equal(tokens.token_type, 'dpop')
    const info = await oauth.userInfoRequest(as, me, tokens.access_token, { DPoP })
    await oauth.processUserInfoResponse(as, me, oauth.getValidatedIdTokenClaims(tokens).sub, info)
    const about = await oauth.processIntrospectionResponse(as, me, await oauth.introspectionRequest(as, me, auth, tokens.access_token))
    assert.equal(about.active, true)
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, me, auth, tokens.access_token))
    const gone = await oauth.processIntrospectionResponse(as, me, await oauth.introspectionRequest(as, me, auth, tokens.access_token))
    assert.equal(gone.active, false)
  },
}

await features[task.flow]()
process.exit(0)
