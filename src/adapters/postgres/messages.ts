/**
 * PostgreSQL's messages, cut out of a stream and put together.
 *
 * Source: PostgreSQL, chapter "Frontend/Backend Protocol": a type byte, four bytes of length that count themselves, a body.
 */
export interface Message {
  readonly type: string;
  /** With its header. */
  readonly bytes: Buffer;
}

export const headerBytes = 5;

export class MessageCutter {
  /** Begins of a message whose end has not come. */
  #rest: Buffer = Buffer.alloc(0);

  /** Whole messages, oldest first. Throws on a length that none can have. */
  take(chunk: Buffer): Message[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Message[] = [];
    let at = 0;
    while (headerBytes <= bytes.length - at) {
      const length = bytes.readUInt32BE(at + 1);
      if (length < 4) throw new Error(`a message of ${length} bytes: this is not PostgreSQL's protocol`);
      if (bytes.length - at < length + 1) break;
      const end = at + 1 + length;
      messages.push({ type: String.fromCharCode(bytes[at] as number), bytes: bytes.subarray(at, end) });
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return messages;
  }

  /** What has come of a message that is not whole yet. */
  get rest(): Buffer {
    return this.#rest;
  }
}

export function message(type: string, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write(type, "latin1");
  header.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

export function query(text: string): Buffer {
  return message("Q", Buffer.from(`${text}\0`));
}

/** The fields of a DataRow as text. */
export function fieldsOf({ bytes }: Message): (string | null)[] {
  const fields: (string | null)[] = [];
  let at = headerBytes + 2;
  for (let left = bytes.readUInt16BE(headerBytes); 0 < left; left--) {
    const length = bytes.readInt32BE(at);
    at += 4;
    fields.push(length < 0 ? null : bytes.toString("utf8", at, at + length));
    at += Math.max(0, length);
  }
  return fields;
}

/** A result of one row, all of it text. */
export function textRow(row: Readonly<Record<string, string>>): Buffer {
  const textOid = 25;
  const count = Buffer.alloc(2);
  count.writeUInt16BE(Object.keys(row).length);
  const described = Object.keys(row).map((name) => {
    const rest = Buffer.alloc(18);
    rest.writeUInt32BE(textOid, 6);
    rest.writeInt16BE(-1, 10);
    rest.writeInt32BE(-1, 12);
    return Buffer.concat([Buffer.from(`${name}\0`), rest]);
  });
  const values = Object.values(row).map((text) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(Buffer.byteLength(text));
    return Buffer.concat([length, Buffer.from(text)]);
  });
  return Buffer.concat([
    message("T", Buffer.concat([count, ...described])),
    message("D", Buffer.concat([count, ...values])),
  ]);
}
