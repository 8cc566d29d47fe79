"""Low-latency HLS from encoded frames: fragmented MP4 parts, playlists that keep their word, and where viewers wait.

Pure: model, planner, probe, cutter, segmenter, boxes, init_segment, fragment, playlist. Around them: store (what is on
offer and who waits for it) and packager (one stream's frames into one store). HTTP is in `streamd.delivery.hls`.
"""
