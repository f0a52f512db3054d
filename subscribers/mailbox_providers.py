"""Who runs the mailboxes of a domain: by its name where all know it, else by its MX.

Providers have names without a dot: with one, it is a domain.
"""

import re

OTHER = "other"

_DOMAINS = {
    "gmail": "gmail.com googlemail.com",
    "microsoft": (
        "outlook.com hotmail.com live.com msn.com passport.com windowslive.com hotmail.co.uk"
        " hotmail.de hotmail.fr hotmail.it hotmail.es hotmail.be hotmail.se hotmail.no hotmail.dk"
        " hotmail.nl hotmail.ch hotmail.co.jp hotmail.com.br hotmail.com.ar live.co.uk live.de"
        " live.fr live.it live.nl live.be live.se live.no live.dk live.ca live.at live.ie live.cn"
        " live.com.au live.com.mx live.com.pt outlook.de outlook.fr outlook.it outlook.es"
        " outlook.be outlook.dk outlook.at outlook.ie outlook.pt outlook.cz outlook.jp"
        " outlook.com.br outlook.com.au outlook.co.id outlook.in"
    ),
    "yahoo": (
        "yahoo.com yahoo.co.uk yahoo.de yahoo.fr yahoo.it yahoo.es yahoo.ca yahoo.in yahoo.ie"
        " yahoo.gr yahoo.se yahoo.no yahoo.dk yahoo.nl yahoo.be yahoo.at yahoo.ro yahoo.pl"
        " yahoo.co.in yahoo.co.id yahoo.co.nz yahoo.co.za yahoo.com.ar yahoo.com.au yahoo.com.br"
        " yahoo.com.hk yahoo.com.mx yahoo.com.ph yahoo.com.sg yahoo.com.tr yahoo.com.tw"
        " yahoo.com.vn ymail.com rocketmail.com myyahoo.com aol.com aol.co.uk aol.de aol.fr aim.com"
        " netscape.net verizon.net"
    ),
    "apple": "icloud.com me.com mac.com",
    "proton": "proton.me protonmail.com protonmail.ch pm.me",
    "gmx": "gmx.de gmx.net gmx.at gmx.ch gmx.com gmx.co.uk gmx.fr gmx.es gmx.us web.de mail.com",
    "t-online": "t-online.de magenta.de",
    "orange": "orange.fr wanadoo.fr",
    "free": "free.fr",
    "sfr": "sfr.fr neuf.fr cegetel.net club-internet.fr",
    "bouygues": "bbox.fr",
    "laposte": "laposte.net",
    "mailru": "mail.ru bk.ru inbox.ru list.ru internet.ru",
    "yandex": "yandex.ru yandex.com yandex.by yandex.kz ya.ru narod.ru",
    "libero": "libero.it virgilio.it iol.it inwind.it blu.it giallo.it",
    "zoho": "zoho.com zohomail.com zohomail.eu zoho.eu zoho.in",
    "fastmail": "fastmail.com fastmail.fm fastmail.net",
    "freenet": "freenet.de",
    "posteo": "posteo.de posteo.net",
    "mailbox-org": "mailbox.org",
    "bluewin": "bluewin.ch",
    "comcast": "comcast.net",
    "btinternet": "btinternet.com",
    "seznam": "seznam.cz email.cz post.cz",
    "wp": "wp.pl o2.pl tlen.pl",
    "onet": "onet.pl onet.eu op.pl poczta.onet.pl",
    "naver": "naver.com",
    "yahoo-japan": "yahoo.co.jp ymail.ne.jp",
    "qq": "qq.com foxmail.com",
    "netease": "163.com 126.com yeah.net",
}
# How the names of their mail exchanges end.
_EXCHANGES = {
    "gmail": "google.com googlemail.com",
    "microsoft": "protection.outlook.com mx.microsoft hotmail.com",
    "yahoo": "yahoodns.net mx.aol.com",
    "apple": "mail.icloud.com",
    "proton": "protonmail.ch",
    "gmx": "gmx.net gmx.com web.de mail.com",
    "t-online": "t-online.de",
    "orange": "orange.fr wanadoo.fr",
    "free": "free.fr",
    "sfr": "sfr.fr",
    "bouygues": "bbox.fr",
    "laposte": "laposte.net",
    "mailru": "mail.ru",
    "yandex": "yandex.net yandex.ru",
    "libero": "libero.it iol.it",
    "zoho": "zoho.com zoho.eu zoho.in zohomail.com",
    "fastmail": "messagingengine.com",
    "freenet": "freenet.de",
    "posteo": "posteo.de",
    "mailbox-org": "mailbox.org",
    "bluewin": "bluewin.ch",
    "comcast": "comcast.net",
    "btinternet": "btinternet.com",
    "seznam": "seznam.cz",
    "wp": "wp.pl",
    "onet": "onet.pl",
    "naver": "naver.com",
    "yahoo-japan": "yahoo.co.jp",
    "qq": "qq.com",
    "netease": "netease.com",
    # They filter for others, and refuse as one.
    "proofpoint": "pphosted.com ppe-hosted.com",
    "mimecast": "mimecast.com mimecast.co.za mimecast-offshore.com",
    "barracuda": "barracudanetworks.com",
    "cisco": "iphmx.com",
    "messagelabs": "messagelabs.com",
    "trendmicro": "trendmicro.com trendmicro.eu",
    "hornetsecurity": "hornetsecurity.com antispameurope.com",
    "sophos": "sophos.com",
    # Hosts of many small domains.
    "ionos": "kundenserver.de ionos.com ionos.de ionos.co.uk ionos.fr ionos.es 1and1.com",
    "strato": "rzone.de",
    "ovh": "ovh.net",
    "godaddy": "secureserver.net",
    "rackspace": "emailsrvr.com",
    "namecheap": "privateemail.com registrar-servers.com",
    "hostinger": "hostinger.com titan.email",
    "tucows": "hostedemail.com",
    "aruba": "aruba.it",
    "gandi": "gandi.net",
    "infomaniak": "infomaniak.ch infomaniak.com",
    "amazon": "amazonaws.com awsapps.com",
}
_BY_DOMAIN = {domain: name for name, domains in _DOMAINS.items() for domain in domains.split()}
_BY_EXCHANGE = {end: name for name, ends in _EXCHANGES.items() for end in ends.split()}
NAMES = sorted({*_DOMAINS, *_EXCHANGES, OTHER})

# RFC 2606 and 6761: they exist nowhere, so no name server is asked about them.
_RESERVED = re.compile(r"(.+\.)?(example(\.(com|net|org))?|test|invalid|localhost|local)")


def of_domain(domain: str) -> str:
    """The provider that everybody knows to run these mailboxes; "" if only the MX tells."""
    return _BY_DOMAIN.get(domain, "")


def of_exchange(host: str) -> str:
    """Whose mail exchange this is, by the end of its name; "other" if it is nobody's we know."""
    labels = host.lower().rstrip(".").split(".")
    ends = (".".join(labels[start:]) for start in range(len(labels)))
    return next((_BY_EXCHANGE[end] for end in ends if end in _BY_EXCHANGE), OTHER)


def domains_of(name: str) -> list[str]:
    """The domains that everybody knows to be this provider's."""
    return _DOMAINS.get(name, "").split()


def is_reserved(domain: str) -> bool:
    """Kept for examples and tests."""
    return bool(_RESERVED.fullmatch(domain))
