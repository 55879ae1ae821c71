/**
 * The certificates that clients are shown: chosen by the name they ask for, and read anew when their files change.
 *
 * - T1. What is shown is always whole: certificate and key are taken together, when they fit one another, or not at all.
 * - T2. What cannot be taken is said, on standard error and in a metric, and what was shown before is shown on.
 * - T3. Connections that are open notice nothing: a certificate matters at the handshake only.
 */
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext, type SecureVersion } from "node:tls";
import { ConfigError } from "./config-error.ts";
import type { Metrics } from "./metrics.ts";

export interface CertificateFiles {
  /** PEM: the certificate, and behind it those of the authorities between it and a root. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

export interface CertificateOptions {
  /** The first is shown to who asks for a name that none has, or for none. */
  readonly certificates: readonly CertificateFiles[];
  readonly minVersion: SecureVersion;
  readonly reloadEveryMs: number;
}

interface Shown {
  readonly digest: string;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

const namesKeptMax = 1000;
const code = "HOLDFAST_EDGE_CERTIFICATE";

export class Certificates {
  readonly #options: CertificateOptions;
  readonly #metrics: Metrics;
  readonly #shown: Shown[];
  /** Digest of what was found and could not be taken; empty: what is on disk is shown. */
  readonly #refused: string[];
  readonly #byName = new Map<string, SecureContext>();
  readonly #timer: NodeJS.Timeout;
  /** What is shown changed. */
  onChange: () => void = () => undefined;

  constructor(options: CertificateOptions, metrics: Metrics) {
    this.#options = options;
    this.#metrics = metrics;
    this.#shown = options.certificates.map(({ certFile, keyFile }) => {
      try {
        return take(readFileSync(certFile), readFileSync(keyFile), options.minVersion);
      } catch (error) {
        throw new ConfigError(`cannot use ${certFile} with ${keyFile}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    });
    this.#refused = this.#shown.map(() => "");
    for (const [at, { certFile }] of options.certificates.entries()) {
      const labels = { certificate: certFile };
      metrics.gauge("holdfast_edge_certificate_not_after_seconds", labels, () => notAfterS(this.#at(at)));
      metrics.gauge("holdfast_edge_certificate_refused", labels, () => (this.#refused[at] === "" ? 0 : 1));
    }
    this.#timer = setInterval(() => void this.reload(), options.reloadEveryMs);
    this.#timer.unref();
  }

  /** For who asks for no name, in the words of `tls.createServer`. */
  get first(): { readonly cert: Buffer; readonly key: Buffer; readonly minVersion: SecureVersion } {
    const { cert, key } = this.#at(0);
    return { cert, key, minVersion: this.#options.minVersion };
  }

  contextFor(name: string): SecureContext {
    const found = this.#byName.get(name);
    if (found) return found;
    const shown = this.#shown.find(({ certificate }) => certificate.checkHost(name) !== undefined);
    const { context } = shown ?? this.#at(0);
    // Bounded, since names come from outside.
    if (this.#byName.size < namesKeptMax) this.#byName.set(name, context);
    return context;
  }

  /** Looks at the files; the same bytes change nothing. */
  async reload(): Promise<void> {
    const changed = await Promise.all(this.#options.certificates.map((files, at) => this.#look(files, at)));
    if (!changed.includes(true)) return;
    this.#byName.clear();
    this.onChange();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** What people ask of it. */
  get state(): unknown {
    return this.#shown.map(({ certificate }, at) => ({
      certFile: this.#options.certificates[at]?.certFile,
      names: certificate.subjectAltName ?? certificate.subject,
      notAfter: certificate.validTo,
      isOnDisk: this.#refused[at] === "",
    }));
  }

  async #look({ certFile, keyFile }: CertificateFiles, at: number): Promise<boolean> {
    let digest = "unreadable";
    try {
      const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
      digest = digestOf(cert, key);
      const isShown = digest === this.#at(at).digest;
      if (!isShown) this.#shown[at] = take(cert, key, this.#options.minVersion);
      this.#refused[at] = "";
      if (!isShown) this.#count("taken");
      return !isShown;
    } catch (error) {
      // T2. Once for each that is found: it is looked at again and again.
      if (this.#refused[at] !== digest) {
        this.#count("refused");
        console.error(
          `${code}: cannot use ${certFile} with ${keyFile}, the one before is shown on ` +
            `until ${this.#at(at).certificate.validTo}: ${(error as Error).message}`,
        );
      }
      this.#refused[at] = digest;
      return false;
    }
  }

  #count(outcome: "taken" | "refused"): void {
    this.#metrics.count("holdfast_edge_certificates_total", { outcome });
  }

  #at(at: number): Shown {
    return this.#shown[at] as Shown;
  }
}

/** T1. Throws when one does not fit the other. */
function take(cert: Buffer, key: Buffer, minVersion: SecureVersion): Shown {
  const certificate = new X509Certificate(cert);
  const context = createSecureContext({ cert, key, minVersion });
  return { digest: digestOf(cert, key), cert, key, certificate, context };
}

function digestOf(cert: Buffer, key: Buffer): string {
  return createHash("sha256").update(cert).update("\0").update(key).digest("hex");
}

/** Seconds since 1970, as Prometheus counts. */
function notAfterS({ certificate }: Shown): number {
  return Date.parse(certificate.validTo) / 1000;
}
