import { limits } from '../../protocol/limits.ts'

export type Listener = { /** `PORT [ADDRESS]`, as mosquitto writes it. */ at: string; webSocket?: boolean; tls?: { certificate: string; key: string } }

/** What a broker that is killed may forget; the hello that each site says afterwards makes up for it. */
const autosaveS = 60

/**
 * `mosquitto.conf` whose accounts are kept by the dynamic-security plugin. The controller sees many messages in flight
 * at once; nothing longer than a report may be is taken in; `persistence` names a directory, or keeps nothing.
 */
export function brokerConfiguration(options: { listeners: readonly Listener[]; plugin: string; accounts: string; persistence: string | null }): string {
  const { listeners, plugin, accounts, persistence } = options
  return [
    'per_listener_settings false',
    'allow_anonymous false',
    `plugin ${plugin}`,
    `plugin_opt_config_file ${accounts}`,
    `persistence ${persistence !== null}`,
    ...(persistence === null ? [] : [`persistence_location ${persistence}/`, `autosave_interval ${autosaveS}`]),
    `message_size_limit ${limits.mqttMessageBytesMax}`,
    `max_inflight_messages ${limits.ingestBatchMax}`,
    'max_queued_messages 100000',
    'set_tcp_nodelay true',
    ...listeners.flatMap(({ at, webSocket, tls }) => [
      '',
      `listener ${at}`,
      ...(webSocket === true ? ['protocol websockets'] : []),
      ...(tls === undefined ? [] : [`certfile ${tls.certificate}`, `keyfile ${tls.key}`]),
    ]),
    '',
  ].join('\n')
}
