"""A name server for tests: says what it is told to, well or badly, over UDP and TCP."""

import contextlib
import socket
import threading

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

# What UDP carries without extensions.
_SMALL = 512


class NameServer:
    """Answers from `zones`: by domain its records, as in "news.test. MX 10 mx.test."

    Of those, the kind that was asked for, and where a CNAME leads. A word in place of the records
    is a misbehaviour: "silence", "servfail", "nxdomain", "truncated" (TCP says the rest if `full`
    has it), "rubbish". What is too large for UDP is said over TCP.
    """

    def __init__(self):
        self.zones = {}
        self.full = {}
        self.asked = []
        # The same, with the kind: ("news.test", "MX").
        self.questions = []
        self._tcp, self._udp = _at_one_port()
        self._tcp.listen()
        self.address = "{}:{}".format(*self._udp.getsockname())

    def publish(self, *records):
        """Add these to the zones."""
        for record in records:
            domain = record.partition(" ")[0].rstrip(".").lower()
            self.zones.setdefault(domain, []).append(record)

    def start(self):
        for serve in [self._serve_udp, self._serve_tcp]:
            threading.Thread(target=serve, daemon=True).start()

    def stop(self):
        for listener in [self._udp, self._tcp]:
            # A thread that waits on it is woken by its end, not by its being closed.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                wire, peer = self._udp.recvfrom(4096)
                if not wire:
                    return
                answer = self._answer(wire, self.zones, _SMALL)
                if answer is not None:
                    self._udp.sendto(answer, peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = self._tcp.accept()
                with connection:
                    length = int.from_bytes(connection.recv(2))
                    answer = self._answer(connection.recv(length), self.zones | self.full)
                    if answer is not None:
                        connection.sendall(len(answer).to_bytes(2) + answer)

    def _answer(self, wire, zones, most=65535):
        query = dns.message.from_wire(wire)
        [question] = query.question
        domain = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(domain)
        self.questions.append((domain, dns.rdatatype.to_text(question.rdtype)))
        said = zones.get(domain, "nxdomain")
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        match said:
            case "silence":
                return None
            case "rubbish":
                return b"\x00" * 5
            case "servfail":
                reply.set_rcode(dns.rcode.SERVFAIL)
            case "nxdomain":
                reply.set_rcode(dns.rcode.NXDOMAIN)
            case "truncated":
                reply.flags |= dns.flags.TC
            case records:
                reply.answer = list(_of_kind(question.rdtype, records, zones))
        written = reply.to_wire(max_size=65535)
        if len(written) > most:
            reply.answer, reply.flags = [], reply.flags | dns.flags.TC
            return reply.to_wire()
        return written


def _of_kind(kind, records, zones):
    for record in map(_record, records):
        if record.rdtype == kind:
            yield record
        elif record.rdtype == dns.rdatatype.CNAME:
            yield record
            target = record[0].target.to_text(omit_final_dot=True).lower()
            beyond = zones.get(target, [])
            yield from _of_kind(kind, beyond if isinstance(beyond, list) else [], zones)


def _at_one_port():
    """Two sockets; of a port that is free for the one, the other may be taken."""
    while True:
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp


def _record(text):
    name, kind, words = text.split(" ", 2)
    return dns.rrset.from_text(name, 300, "IN", kind, words)


@contextlib.contextmanager
def answering():
    server = NameServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
