/**
 * A certificate that signs itself, made when it is needed, so that no private key lies in the repository: RFC 5280 in
 * as few fields as TLS asks for.
 */
import { generateKeyPairSync, sign } from "node:crypto"

const der = (tag: number, ...contents: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(contents)
  const { length } = body
  const prefix = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Uint8Array.of(tag, ...prefix), body])
}

const sequence = (...contents: ReadonlyArray<Uint8Array>) => der(0x30, ...contents)
const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"))
const octets = (contents: Uint8Array) => der(0x04, contents)
const bits = (contents: Uint8Array) => der(0x03, Uint8Array.of(0), contents)
const utcTime = (date: Date) =>
  der(
    0x17,
    Buffer.from(
      date
        .toISOString()
        .replace(/^..|[-:T]|\..*/g, "")
        .concat("Z")
    )
  )

const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"))
const day = 86_400_000

export interface Certificate {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

/** For these DNS names and for 127.0.0.1; valid from yesterday to tomorrow. */
export const selfSigned = (...names: ReadonlyArray<string>): Certificate => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" })
  const name = sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from("Millrace tests")))))
  const now = Date.now()
  const alternatives = sequence(
    ...names.map((dnsName) => der(0x82, Buffer.from(dnsName))),
    der(0x87, Uint8Array.of(127, 0, 0, 1))
  )
  const body = sequence(
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, Uint8Array.of(1)),
    ecdsaWithSha256,
    name,
    sequence(utcTime(new Date(now - day)), utcTime(new Date(now + day))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(sequence(oid("551d11"), octets(alternatives))))
  )
  const signed = sequence(body, ecdsaWithSha256, bits(sign("sha256", body, privateKey)))
  const lines = signed.toString("base64").match(/.{1,64}/g) ?? []
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  }
}
