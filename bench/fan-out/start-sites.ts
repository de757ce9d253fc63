import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { SitesAnswer, SitesOrder } from './sites.ts'

type Sites = { order(order: SitesOrder): Promise<void>; stop(): Promise<void> }

/** Starts the process that plays the sites. */
export function startSites(): Sites {
  const child = fork(join(import.meta.dirname, 'sites.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  return {
    async order(order) {
      const answered = new Promise<void>((resolve, reject) => {
        const ends = (): void => reject(new Error('the process that plays the sites has ended'))
        child.once('exit', ends)
        child.once('message', (answer: SitesAnswer) => {
          child.off('exit', ends)
          return answer.done === order.do ? resolve() : reject(new Error(`the sites answered ${answer.done} to ${order.do}`))
        })
      })
      child.send(order)
      await answered
    },
    async stop() {
      child.disconnect()
      await ended
    },
  }
}
