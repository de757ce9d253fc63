import { runFleetCases } from './fleet.cases.ts'

runFleetCases('worker')
