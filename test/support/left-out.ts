/** The file in which the test runner collects what was left out: one line of JSON for each. */
export const leftOutVariable = 'MURMUR_LEFT_OUT'
export type LeftOut = { need: string; is: string; cure: string }
