/**
 * Watches the bytes of one MQTT connection go by and says whether every packet so far announces at most `bytesMax`
 * bytes. A packet that is too long is found by its header, before its bytes are collected (F44).
 */
export function measurePackets(bytesMax: number): (chunk: Uint8Array) => boolean {
  let left = 0
  let length = 0
  /** Place of the next byte of the length field (MQTT 3.1.1 §2.2.3); -1 while the packet's first byte is due. */
  let place = -1
  return (chunk) => {
    for (let i = 0; i < chunk.length; ) {
      if (left > 0) {
        const taken = Math.min(left, chunk.length - i)
        left -= taken
        i += taken
        continue
      }
      const byte = chunk[i++]!
      if (place < 0) {
        place = 0
        length = 0
        continue
      }
      length += (byte & 0x7f) * 128 ** place++
      if (length > bytesMax || place > 4) return false
      if ((byte & 0x80) === 0) {
        left = length
        place = -1
      }
    }
    return true
  }
}
