import { ResourceNotFoundException } from '@aws-sdk/client-iot'

/** What AWS answers, or null where it says that there is no such thing. */
export const nullIfMissing = <T>(asking: Promise<T>): Promise<T | null> =>
  asking.catch((error: unknown) => {
    if (error instanceof ResourceNotFoundException) return null
    throw error
  })
