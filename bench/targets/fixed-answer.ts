/** Similar to Counterfoil's response for a token of the benchmark. */
export const fixedAnswer = {
  active: true,
  scope: 'read write',
  client_id: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
  token_type: 'Bearer',
  iat: 1_772_366_400,
  sub: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
  aud: ['https://api.example.com'],
  iss: 'http://localhost:7662',
  jti: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
  organization: 'default',
  type: 'api',
  token_name: 'Token 4711',
}
