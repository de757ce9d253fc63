/** A policy as AWS writes it, of its IAM or of its IoT. */
export type PolicyStatement = { Sid?: string; Effect: 'Allow'; Action: string[]; Resource: string[]; Condition?: Record<string, Record<string, string[]>> }
export type PolicyDocument = { Version: '2012-10-17'; Statement: PolicyStatement[] }
