/** What pages and mini-program share of room and API, for its size. */
export { Session } from '@/account/session'
export { Caller } from '@/api/calling'
export { fetchRoom, fetchRooms } from '@/api/rooms'
export { senderBy } from '@/api/sending'
export { SocketRoomClient } from '@/room/client'
export { ServerClock } from '@/time/serverClock'
