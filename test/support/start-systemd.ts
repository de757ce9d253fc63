import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program, sleep } from './program.ts'

/** A group of its own in every hierarchy: a service manager moves whatever is in its group, and that must not be this machine. */
const script = `
while IFS=: read -r _ name path; do
  case "$name" in name=*) hierarchy="/sys/fs/cgroup/\${name#name=}" ;; '') hierarchy=/sys/fs/cgroup/unified; [ -d "$hierarchy" ] || hierarchy=/sys/fs/cgroup ;; *) hierarchy="/sys/fs/cgroup/$name" ;; esac
  mkdir "$hierarchy/$GROUP" 2>/dev/null && echo $$ > "$hierarchy/$GROUP/cgroup.procs" || true
done < /proc/self/cgroup 2>/dev/null
grep -q "$GROUP" /proc/self/cgroup || exit 1
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 1
exec /usr/lib/systemd/systemd --user --log-target=console
`

/** What groups there are by this name, the deepest first. */
function groupsOf(group: string): string[] {
  const below = (directory: string): string[] => [...readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap(({ name }) => below(join(directory, name))), directory]
  const root = '/sys/fs/cgroup'
  return readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap(({ name }) => (name === group ? below(join(root, name)) : readdirSync(join(root, name)).includes(group) ? below(join(root, name, group)) : []))
}

/** For a message bus that lets everybody in; it listens where it is told to. */
export const busConfig = (address: string): string => `<busconfig><type>session</type><listen>${address}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`

/**
 * A real systemd as a user's service manager, which starts these units, in a mount namespace and in groups of its own, all below `directory`.
 * Its sockets are its own, `private`, and that of a message bus which it starts, `bus`.
 */
export function startSystemd(directory: string, units: Record<string, string>): { program: Program; bus: string; private: string; end(): Promise<void> } {
  const [home, runtime, group] = [join(directory, 'home'), join(directory, 'runtime'), `murmuration-test-${process.pid}`]
  const place = join(home, '.config/systemd/user')
  mkdirSync(place, { recursive: true })
  mkdirSync(runtime, { mode: 0o700 })
  writeFileSync(join(home, 'bus.conf'), busConfig('systemd:'))
  const bus = {
    'dbus.socket': '[Socket]\nListenStream=%t/bus\n',
    'dbus.service': `[Unit]\nRequires=dbus.socket\n[Service]\nExecStart=dbus-daemon --config-file=${home}/bus.conf --nofork --systemd-activation\n`,
    'default.target': `[Unit]\nWants=dbus.socket ${Object.keys(units).join(' ')}\n`,
  }
  for (const [name, text] of Object.entries({ ...bus, ...units })) writeFileSync(join(place, name), text)
  const program = new Program('systemd', 'unshare', ['--mount', 'sh', '-c', script], { HOME: home, XDG_RUNTIME_DIR: runtime, GROUP: group })
  program.start()
  return {
    program, bus: join(runtime, 'bus'), private: join(runtime, 'systemd/private'),
    async end() {
      await program.end('SIGTERM')
      const leftBehind = (): number[] => groupsOf(group).flatMap((each) => readFileSync(join(each, 'cgroup.procs'), 'utf8').split('\n').filter((line) => line !== '').map(Number))
      for (const pid of new Set(leftBehind())) process.kill(pid, 'SIGKILL')
      for (let tries = 0; tries < 50 && leftBehind().length > 0; tries++) await sleep(100)
      for (const each of groupsOf(group)) rmdirSync(each)
    },
  }
}
