/** Certificates for tests, made by openssl: each signed by itself, so that it is its own authority. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface MadeCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly pem: string;
}

/** `names`: the first is its subject too. Files of the same `as` are replaced. */
export function makeCertificate(folder: string, as: string, names: readonly string[]): MadeCertificate {
  const certFile = join(folder, `${as}.crt`);
  const keyFile = join(folder, `${as}.key`);
  const made = join(folder, `${as}.made`);
  const alternatives = names.map((name) => `DNS:${name}`).join(",");
  execFileSync(
    "openssl",
    [
      ...[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
      ],
      ...["-subj", `/CN=${names[0]}`, "-addext", `subjectAltName=${alternatives}`],
      ...["-keyout", `${made}.key`, "-out", `${made}.crt`],
    ],
    { stdio: "ignore" },
  );
  writeFileSync(keyFile, readFileSync(`${made}.key`));
  writeFileSync(certFile, readFileSync(`${made}.crt`));
  return { certFile, keyFile, pem: readFileSync(certFile, "utf8") };
}
