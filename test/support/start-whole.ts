type Undo = (() => Promise<unknown>)[]

/**
 * Starts something of several parts. Each part puts what ends it on `undo` as soon as it runs, so that a start that fails half-way leaves nothing
 * behind; `stop` ends them all, the last one first.
 */
export async function startWhole<T extends object>(startParts: (undo: Undo) => Promise<T>): Promise<T & { stop(): Promise<void> }> {
  const undo: Undo = []
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    return { ...(await startParts(undo)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}
