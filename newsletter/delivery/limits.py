"""stub"""


class Limits:
    def is_limiting(self, mailer):
        return False
