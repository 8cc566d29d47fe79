// Watches whatever <video> the page shows: injected before the page's own scripts, behind strip.js.
// For every picture: is it the first one, did it come late, and (four times a second) how old is the clock in it.

//
// A picture that comes late is a stall when the film stood still meanwhile, and a slow screen when the film went on:
// the first is a player without media, the second a browser without CPU.

window.__glass = { firstFrameMs: null, samples: [], stalls: [], slow: [], waits: 0, unread: 0, frames: 0, dropped: 0 };

(() => {
  const found = window.__glass;
  const canvas = document.createElement("canvas");
  const STALL_MS = 500;
  let watched = null;
  let lastFrameMs = 0;
  let lastMediaMs = 0;
  let lastReadMs = 0;

  function noteGap(nowMs, mediaMs) {
    const gapMs = nowMs - lastFrameMs;
    if (gapMs <= STALL_MS) return;
    const wentOn = mediaMs - lastMediaMs > gapMs - STALL_MS / 2;
    (wentOn ? found.slow : found.stalls).push({ atMs: nowMs, ms: gapMs });
  }

  function onFrame(video, nowMs, metadata) {
    if (video !== watched) return;
    if (found.firstFrameMs === null) found.firstFrameMs = nowMs;
    else noteGap(nowMs, metadata.mediaTime * 1000);
    lastFrameMs = nowMs;
    lastMediaMs = metadata.mediaTime * 1000;
    found.frames += 1;
    found.dropped = video.getVideoPlaybackQuality().droppedVideoFrames;
    if (nowMs - lastReadMs > 250) {
      lastReadMs = nowMs;
      const clockMs = stripReadVideo(video, canvas);
      const shownMs = Date.now() + (metadata.expectedDisplayTime - performance.now());
      if (clockMs === null) found.unread += 1;
      else found.samples.push([nowMs, shownMs - clockMs]);
    }
    video.requestVideoFrameCallback((now, data) => onFrame(video, now, data));
  }

  function look() {
    const video = document.querySelector("video");
    if (!video || video === watched) return;
    watched = video;
    lastFrameMs = performance.now();
    video.addEventListener("waiting", () => { found.waits += 1; });
    video.requestVideoFrameCallback((now, data) => onFrame(video, now, data));
  }

  setInterval(look, 20);
})();
