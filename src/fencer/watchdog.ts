/** The host's watchdog device: restarts the host when the fencer is dead, or cannot end what it must end. */
import { type FileHandle, open } from "node:fs/promises";
import type { SpanMs } from "../core/model/time.ts";
import type { Guard } from "./guard.ts";

/**
 * Linux, Documentation/watchdog/watchdog-api.rst: every write keeps the host up for the driver's timeout; a "V" before
 * closing switches it off, closing without it (the fencer was killed) does not. Node has no ioctl: the timeout is set
 * where the driver is loaded (`softdog soft_margin=2`), and must be shorter than a lease minus the profile's stop.
 */
export function startWatchdog(device: string, everyMs: SpanMs, guard: Guard, log: (text: string) => void) {
  let file: FileHandle | null = null;
  let problem = "";
  let busy = false;
  const turn = async () => {
    if (busy) return;
    busy = true;
    try {
      if (guard.isArmed() && file === null) file = await open(device, "w");
      if (file === null) return;
      if (!guard.isInCommand()) return; // The host goes down in the driver's timeout, and the member with it.
      if (guard.isArmed()) await file.write(".");
      else await release();
      problem = "";
    } catch (error) {
      if (problem !== (error as Error).message) {
        problem = (error as Error).message;
        log(`watchdog ${device}: ${problem}`);
      }
    } finally {
      busy = false;
    }
  };
  const release = async () => {
    const closing = file;
    file = null;
    await closing?.write("V");
    await closing?.close();
  };
  const timer = setInterval(() => void turn(), everyMs);
  return {
    async close() {
      clearInterval(timer);
      if (guard.isInCommand()) await release();
    },
  };
}
