/**
 * Rooms of Socket.IO as topics of the hub. Pure.
 */

/**
 * The topic of a room, and without one that of all of the namespace. A room of the main namespace is the topic of its own
 * name, one of `/admin` is `/admin#ROOM`; all of a namespace are `/#` or `/admin#`.
 */
export const of = (namespace: string, room?: string): string =>
  room === undefined ? `${namespace}#` : namespace === "/" ? room : `${namespace}#${room}`
