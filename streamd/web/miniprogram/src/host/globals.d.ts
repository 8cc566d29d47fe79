/** Written in by the build: scheme and host of the server, without a path. */
declare const STREAMD_ORIGIN: string
/** Written in by the build: `video` where the mini-program's category does not allow live-player. */
declare const STREAMD_PLAYER: 'live' | 'video'
