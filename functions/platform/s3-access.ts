import { createS3ObjectStore, type S3ObjectStore } from '../adapters/aws/s3-object-store.ts'
import type { ObjectSigning } from '../http/sign-object-url.ts'

type S3Settings = { MURMUR_S3_ENDPOINT?: string | undefined; MURMUR_S3_BUCKET?: string | undefined; MURMUR_S3_REGION: string; MURMUR_S3_ACCESS_KEY_ID?: string | undefined; MURMUR_S3_SECRET_ACCESS_KEY?: string | undefined }

/** The bucket that the settings name, or null; that all of them are set where one is was checked when they were read. */
export function openS3(settings: S3Settings, { clock, crypto }: Pick<ObjectSigning, 'clock' | 'crypto'>): S3ObjectStore | null {
  if (settings.MURMUR_S3_ENDPOINT === undefined) return null
  return createS3ObjectStore({
    endpoint: settings.MURMUR_S3_ENDPOINT, bucket: settings.MURMUR_S3_BUCKET!, region: settings.MURMUR_S3_REGION, accessKeyId: settings.MURMUR_S3_ACCESS_KEY_ID!, secretAccessKey: settings.MURMUR_S3_SECRET_ACCESS_KEY!, clock, crypto,
  })
}
