"""A WebSocket client in the standard library of Python and 90 lines, written from RFC 6455 and from nothing else.

Usage: peer.py PORT, against an echo server. Prints a line for each thing that it found right, and fails otherwise.
"""
import base64, hashlib, os, random, socket, struct, sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Peer:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(
            b"GET /python HTTP/1.1\r\nhost: localhost:%d\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: %s\r\n\r\n" % (port, key)
        )
        self.file = self.socket.makefile("rb")
        status = self.file.readline().split(b" ", 2)
        assert status[:2] == [b"HTTP/1.1", b"101"], status
        fields = {}
        while (line := self.file.readline()) != b"\r\n":
            name, value = line.split(b":", 1)
            assert name.lower() not in fields, name
            fields[name.lower()] = value.strip()
        assert fields[b"upgrade"].lower() == b"websocket", fields
        assert fields[b"connection"].lower() == b"upgrade", fields
        assert fields[b"sec-websocket-accept"] == base64.b64encode(hashlib.sha1(key + GUID).digest()), fields
        assert b"sec-websocket-extensions" not in fields and b"sec-websocket-protocol" not in fields, fields

    def send(self, opcode, payload, fin=True, chop=None):
        key = os.urandom(4)
        length = len(payload)
        if length < 126:
            header = struct.pack("!BB", fin << 7 | opcode, 128 | length)
        elif length < 1 << 16:
            header = struct.pack("!BBH", fin << 7 | opcode, 128 | 126, length)
        else:
            header = struct.pack("!BBQ", fin << 7 | opcode, 128 | 127, length)
        repeated = (key * (length // 4 + 1))[:length]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
        frame = header + key + masked
        for at in range(0, len(frame), chop or len(frame)):
            self.socket.sendall(frame[at : at + (chop or len(frame))])

    def read(self):
        first, second = self.file.read(2)
        assert first & 0x70 == 0 and second & 0x80 == 0, (first, second)
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self.file.read(2))
            assert length > 125, length
        elif second == 127:
            (length,) = struct.unpack("!Q", self.file.read(8))
            assert length > 0xFFFF, length
        return first & 15, bool(first >> 7), self.file.read(length)

    def expect(self, opcode, payload):
        assert self.read() == (opcode, True, payload), (opcode, payload[:50])

    def close(self, body, answer):
        self.send(CLOSE, body)
        opcode, fin, payload = self.read()
        assert (opcode, fin, payload[:2]) == (CLOSE, True, answer), payload
        assert self.file.read() == b""


def main(port):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    peer = Peer(port)
    for length in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]:
        text = "".join(chance.choice("aé€\U0001f30a") for _ in range(length))
        for opcode, payload in [(TEXT, text.encode()), (BINARY, chance.randbytes(length))]:
            peer.send(opcode, payload)
            peer.expect(opcode, payload)
    print("lengths")
    for opcode, payload in [(TEXT, "é€\U0001f30a".encode()), (BINARY, bytes(range(256)))]:
        peer.send(opcode, payload, chop=1)
        peer.expect(opcode, payload)
        for at, byte in enumerate(payload):
            peer.send(0 if at else opcode, bytes([byte]), fin=at == len(payload) - 1)
            if at % 5 == 0:
                peer.send(PING, b"%d" % at)
                peer.expect(PONG, b"%d" % at)
        peer.expect(opcode, payload)
    print("fragments")
    peer.close(struct.pack("!H", 4321) + "é".encode(), struct.pack("!H", 4321))
    for opcode, payload, code in [(TEXT, b"\xed\xa0\x80", 1007), (3, b"", 1002), (0, b"", 1002), (PING, b"x" * 126, 1002)]:
        peer = Peer(port)
        peer.send(opcode, payload)
        assert peer.read()[2][:2] == struct.pack("!H", code), code
    print("closing")


main(int(sys.argv[1]))
