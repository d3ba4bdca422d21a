// A real, certified OpenID provider (panva/oidc-provider) on loopback, for tests: issues codes and JWT access tokens.
// argv: port, redirect URI. Whoever signs in as "role:name" gets that role; the line "rotate" on stdin changes keys.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const claimsOf = (sub) => {
  const [role, name] = sub.split(':');
  return { sub, preferred_username: name, roles: [role, 'something-else'] };
};
const key = () => {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return { ...jwk, kid: randomUUID(), use: 'sig', alg: 'ES256' };
};

const build = () => new Provider(issuer, {
  jwks: { keys: [key()] },
  cookies: { keys: ['for-tests-only'] },
  clients: [{
    client_id: 'zoeklicht', client_secret: 'a-secret-for-tests-only', redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'client_credentials'], response_types: ['code'],
    id_token_signed_response_alg: 'ES256', scope: 'openid profile api',
  }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], profile: ['preferred_username', 'roles'] },
  conformIdTokenClaims: false,
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => claimsOf(sub) }),
  extraTokenClaims: (_ctx, token) => claimsOf(token.accountId ?? 'operator:machine'),
  scopes: ['openid', 'profile', 'api'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:zoeklicht:api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'api', audience: 'zoeklicht-api', accessTokenFormat: 'jwt', accessTokenTTL: 600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

let answer = build().callback();
const server = createServer((request, response) => answer(request, response));
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
createInterface({ input: process.stdin }).on('line', () => {
  answer = build().callback();
  console.log('rotated');
}).on('close', () => process.exit(0));
