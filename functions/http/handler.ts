import type { BodyOf, ParamsOf, QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { ContractId, contracts } from '../../protocol/http/contracts.ts'
import type { Ctx } from '../context.ts'

type Contracts = typeof contracts

/** What a handler gets: everything parsed. `ifMatch` is the version in `If-Match`, null when the caller did not care. */
export type Input<I extends ContractId> = { params: ParamsOf<Contracts[I]>; query: QueryOf<Contracts[I]>; body: BodyOf<Contracts[I]>; ifMatch: number | null }

/** One handler for each operation of the contract: a new operation does not compile until it has one. */
export type Handlers = { [I in ContractId]: (ctx: Ctx, input: Input<I>) => Promise<ResponseOf<Contracts[I]>> }
