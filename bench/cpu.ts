/**
 * The clock of the whole benchmark. Not the wall's: what other processes do on the machine makes a server slow, and
 * makes its own work more expensive only a little.
 */

/** User and system time of all threads of this process since it began, in microseconds. */
export const cpu = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}
