"""What a server says, however it comes."""

import pytest

from newsletter.delivery.transports.smtp.replies import BrokenReplyError, Replies, Reply

TALK = (
    b"220 sink\r\n250-sink.example\r\n250-SIZE 10\r\n250 HELP\r\n550-5.1.1 No\r\n550 5.1.1 user\r\n"
)


def read(*chunks):
    replies = Replies()
    return [reply for chunk in chunks for reply in replies.read(chunk)]


@pytest.mark.parametrize("cut", range(len(TALK)))
def test_a_reply_may_be_cut_anywhere(cut):
    assert read(TALK[:cut], TALK[cut:]) == read(TALK)


def test_a_reply_may_come_byte_by_byte():
    whole = read(TALK)

    assert read(*(bytes([byte]) for byte in TALK)) == whole
    assert [reply.code for reply in whole] == [b"220", b"250", b"550"]
    assert whole[1].words == ["sink.example", "SIZE 10", "HELP"]


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([b"5.1.1 No such user"], ("550 5.1.1", "No such user")),
        ([b"5.1.1 No such", b"5.1.1 user"], ("550 5.1.1", "No such user")),
        ([b"No such user"], ("550", "No such user")),
        ([b"5.1.1"], ("550 5.1.1", "")),
        ([b""], ("550", "")),
        ([b"a\0b \xff"], ("550", "ab �")),
        ([b"1.2.3 is our version"], ("550", "1.2.3 is our version")),
    ],
)
def test_an_enhanced_code_goes_with_the_code(lines, answer):
    assert Reply(b"550", lines).answer() == answer


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_both_ends_of_lines_are_understood(end):
    assert read(b"250 OK" + end + b"250" + end) == [Reply(b"250", [b"OK"]), Reply(b"250", [b""])]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b"25\r\n",
        b"2500 OK\r\n",
        b"150 so\r\n",
        b"\x15\x03\x01\x00\x02\r\n",
        b"2" * 9000,
        b"250-on and on\r\n" * 200,
    ],
)
def test_what_is_no_smtp_is_not_taken_for_an_answer(garbage):
    with pytest.raises(BrokenReplyError, match="no SMTP"):
        read(garbage)


def test_little_is_kept_of_a_long_answer():
    _code, words = Reply(b"550", [b"no " * 2000]).answer()

    assert len(words) == 1000
