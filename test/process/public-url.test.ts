import t from 'tap'
import { readConfig } from '../../src/config.ts'

const read = (PUBLIC_URL: string) => readConfig({ PUBLIC_URL }).publicUrl

t.test('PUBLIC_URL may have a port and a path, and is used as written', async (t) => {
  const fit = [
    'https://tokens.example',
    'https://Tokens.Example:443',
    'http://[::1]:7662',
    'http://localhost:65535/prefix',
    'https://host.example/a/b-c/_d~e.f',
  ]
  for (const url of fit) t.equal(read(url), url)
})

t.test('a slash at the end of PUBLIC_URL is ignored', async (t) => {
  t.equal(read('https://tokens.example/'), 'https://tokens.example')
  t.equal(read('https://host.example/prefix/'), 'https://host.example/prefix')
})

t.test(
  'an unusable PUBLIC_URL is rejected with a sentence that has the reason but not the value',
  async (t) => {
    const flaws: [RegExp, string[]][] = [
      [/http:\/\/ or https:\/\//, ['hunter2', 'hunter2.example/path', 'ftp://hunter2.example', '/hunter2']],
      [
        /credentials/,
        ['https://user:hunter2@host.example', 'https://hunter2@host.example/', 'https://@hunter2.example'],
      ],
      [
        /query or a fragment/,
        ['https://hunter2.example?', 'https://hunter2.example/#', 'https://hunter2.example/a?b=c'],
      ],
      [
        /host, or a port/,
        [
          'https://',
          'https:///hunter2',
          'https://hunter2.example:',
          'https://hunter2.example:0',
          'https://hunter2.example:000/prefix',
          'https://hunter2.example:65536',
          'https://hunter2.example:-1',
          'https://hunter2.example:http',
          'https://hunter2.exa mple',
          'https://hunter2.exa\tmple',
          'https://[hunter2]',
          'https://256.256.256.256',
        ],
      ],
      [
        /path/,
        [
          'https://host.example//hunter2',
          'https://host.example/hunter2//',
          'https://host.example/../hunter2',
          'https://host.example/./hunter2',
          'https://host.example/hunter2/..',
          'https://host.example/hunter2%2F',
          'https://host.example\\hunter2',
          'https://host.example/hunter2/:id',
          'https://host.example/hunter2/*',
          'https://host.example/hunter2\n',
          'https://host.example/hunter2 ',
        ],
      ],
    ]
    for (const [flaw, urls] of flaws)
      for (const url of urls) {
        t.throws(() => read(url), { message: flaw }, url)
        t.throws(() => read(url), { message: /^PUBLIC_URL [^\n]+\.$/ }, url)
        t.throws(() => read(url), { message: /^((?!hunter2).)+$/ }, url)
      }
  },
)
