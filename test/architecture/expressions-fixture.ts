// Each of these takes quadratic time: expressions.test.ts has to find all of them.
const ends = ' +$'
export const fields = { pattern: `\\s${ends}` }
export const [literal, made, searched, joined] = [
  / +$/,
  new RegExp(ends),
  'text'.match(' +$'),
  RegExp(`${ends}`, 'i'),
]
