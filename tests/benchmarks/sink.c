/* An SMTP server that accepts every message and keeps none: `sink LOG DELAY`.

   Prints the port it listens on. For each message it writes a line to LOG, at the moment it
   answers the final dot: CLOCK_MONOTONIC in nanoseconds, bytes of the message, recipient. DELAY
   is the milliseconds between final dot and answer; what was pipelined behind waits as well. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST_EVENTS = 256, AT_ONCE = 256 * 1024, LONGEST_ADDRESS = 320, LONGEST_REPLIES = 65536 };
static const int64_t FLUSH_AFTER = 100 * 1000000LL;

typedef struct Client {
    int socket, is_in_body, is_leaving;
    char *buffer;
    size_t start, end, room, searched;
    char recipient[LONGEST_ADDRESS];
    size_t message_bytes;
    int64_t answer_at; /* 0: nothing is being held back */
    struct Client *behind;
    char replies[LONGEST_REPLIES];
    size_t replies_length;
} Client;

static int64_t delay, flushed_at;
static int events, timer, log_file;
static unsigned long accepted;
static char lines[1 << 20];
static size_t lines_length;
static Client *first_waiting, *last_waiting;
static volatile sig_atomic_t is_stopping;

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void flush_lines(void) {
    for (size_t written = 0; written < lines_length;) {
        ssize_t count = write(log_file, lines + written, lines_length - written);
        if (count < 0) die("log");
        written += count;
    }
    lines_length = 0;
    flushed_at = now();
}

static void reply(Client *client, const char *words) {
    size_t length = strlen(words);
    if (client->replies_length + length < LONGEST_REPLIES) {
        memcpy(client->replies + client->replies_length, words, length);
        client->replies_length += length;
    }
}

static void accept_message(Client *client) {
    char words[64];
    if (lines_length > sizeof lines - 2 * LONGEST_ADDRESS) flush_lines();
    lines_length += sprintf(lines + lines_length, "%lld %zu %s\n", (long long)now(),
                            client->message_bytes, client->recipient);
    sprintf(words, "250 2.0.0 queued as %lu\r\n", ++accepted);
    reply(client, words);
    client->recipient[0] = 0;
    client->answer_at = 0;
}

static void set_timer(void) {
    struct itimerspec when = {0};
    if (first_waiting) {
        when.it_value.tv_sec = first_waiting->answer_at / 1000000000LL;
        when.it_value.tv_nsec = first_waiting->answer_at % 1000000000LL;
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void hold_back(Client *client) {
    client->answer_at = now() + delay;
    client->behind = NULL;
    if (last_waiting) last_waiting->behind = client;
    else first_waiting = client;
    last_waiting = client;
    if (first_waiting == client) set_timer();
}

/* Whether a whole message was there. */
static int take_body(Client *client) {
    /* The line break before the body stays in the buffer, so an empty body ends alike. */
    size_t from = client->searched > client->start + 4 ? client->searched - 4 : client->start;
    char *end = memmem(client->buffer + from, client->end - from, "\r\n.\r\n", 5);
    if (!end) {
        client->searched = client->end;
        return 0;
    }
    size_t at = end - client->buffer;
    client->message_bytes = at > client->start ? at - client->start : 0;
    client->start = at + 5;
    client->is_in_body = 0;
    if (delay) hold_back(client);
    else accept_message(client);
    return 1;
}

static void keep_recipient(Client *client, const char *line, size_t length) {
    const char *open = memchr(line, '<', length), *close = memchr(line, '>', length);
    if (client->recipient[0]) {
        reply(client, "452 4.5.3 One recipient at a time\r\n");
    } else if (!open || !close || close < open || close - open > LONGEST_ADDRESS) {
        reply(client, "501 5.1.3 No address\r\n");
    } else {
        memcpy(client->recipient, open + 1, close - open - 1);
        client->recipient[close - open - 1] = 0;
        reply(client, "250 2.1.5 OK\r\n");
    }
}

static int begins(const char *line, size_t length, const char *word) {
    return length >= strlen(word) && !strncasecmp(line, word, strlen(word));
}

static void answer_command(Client *client, const char *line, size_t length) {
    if (begins(line, length, "MAIL")) {
        client->recipient[0] = 0;
        reply(client, "250 2.1.0 OK\r\n");
    } else if (begins(line, length, "RCPT")) {
        keep_recipient(client, line, length);
    } else if (begins(line, length, "DATA")) {
        if (!client->recipient[0]) {
            reply(client, "554 5.5.1 No recipient\r\n");
            return;
        }
        client->is_in_body = 1;
        client->start -= 2;
        client->searched = client->start;
        reply(client, "354 Go on\r\n");
    } else if (begins(line, length, "EHLO")) {
        reply(client, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n"
                      "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n");
    } else if (begins(line, length, "HELO") || begins(line, length, "NOOP")) {
        reply(client, "250 2.0.0 OK\r\n");
    } else if (begins(line, length, "RSET")) {
        client->recipient[0] = 0;
        reply(client, "250 2.0.0 OK\r\n");
    } else if (begins(line, length, "QUIT")) {
        reply(client, "221 2.0.0 Bye\r\n");
        client->is_leaving = 1;
    } else {
        reply(client, "502 5.5.1 Unknown\r\n");
    }
}

/* Whether a whole line was there. */
static int take_line(Client *client) {
    char *line = client->buffer + client->start;
    char *end = memmem(line, client->end - client->start, "\r\n", 2);
    if (!end) return 0;
    client->start += end - line + 2;
    answer_command(client, line, end - line);
    return 1;
}

static void hang_up(Client *client) {
    Client *before = NULL;
    for (Client *other = first_waiting; other; before = other, other = other->behind) {
        if (other != client) continue;
        if (before) before->behind = client->behind;
        else first_waiting = client->behind;
        if (last_waiting == client) last_waiting = before;
        break;
    }
    close(client->socket);
    free(client->buffer);
    free(client);
}

/* Work off what is in the buffer, and send all answers at once. 0 if the client is gone. */
static int serve(Client *client) {
    while (!client->answer_at && !client->is_leaving) {
        if (!(client->is_in_body ? take_body(client) : take_line(client))) break;
    }
    if (client->replies_length) {
        ssize_t sent = send(client->socket, client->replies, client->replies_length, MSG_NOSIGNAL);
        if (sent != (ssize_t)client->replies_length) client->is_leaving = 1;
        client->replies_length = 0;
    }
    if (client->is_leaving) {
        hang_up(client);
        return 0;
    }
    return 1;
}

static void make_room(Client *client) {
    size_t kept = client->end - client->start;
    if (client->start && client->room - client->end < AT_ONCE) {
        memmove(client->buffer, client->buffer + client->start, kept);
        client->searched -= client->searched < client->start ? client->searched : client->start;
        client->start = 0;
        client->end = kept;
    }
    if (client->room - client->end >= AT_ONCE) return;
    client->room = client->end + 2 * AT_ONCE;
    client->buffer = realloc(client->buffer, client->room);
    if (!client->buffer) die("realloc");
}

static void listen_to(Client *client) {
    if (client->start == client->end) client->start = client->end = client->searched = 0;
    make_room(client);
    ssize_t count = recv(client->socket, client->buffer + client->end, AT_ONCE, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        hang_up(client);
        return;
    }
    client->end += count;
    serve(client);
}

static void welcome(int listener) {
    int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (socket < 0) return;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Client *client = calloc(1, sizeof *client);
    if (!client) die("calloc");
    client->socket = socket;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(events, EPOLL_CTL_ADD, socket, &event);
    reply(client, "220 sink.example ESMTP\r\n");
    serve(client);
}

static void answer_those_held_back(void) {
    uint64_t times;
    if (read(timer, &times, sizeof times) < 0 && errno != EAGAIN) die("timer");
    int64_t until = now();
    while (first_waiting && first_waiting->answer_at <= until) {
        Client *client = first_waiting;
        first_waiting = client->behind;
        if (!first_waiting) last_waiting = NULL;
        accept_message(client);
        serve(client);
    }
    set_timer();
}

static int open_listener(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length)) die("bind");
    if (listen(listener, 512)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void stop(int number) {
    (void)number;
    is_stopping = 1;
}

int main(int count, char **words) {
    if (count != 3) return 2;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    log_file = open(words[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (log_file < 0) die(words[1]);
    delay = (int64_t)(atof(words[2]) * 1000000);
    events = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int listener = open_listener();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &timer;
    epoll_ctl(events, EPOLL_CTL_ADD, timer, &event);
    struct epoll_event happened[MOST_EVENTS];
    while (!is_stopping) {
        int number = epoll_wait(events, happened, MOST_EVENTS, lines_length ? 100 : -1);
        int timer_rang = 0;
        for (int index = 0; index < number; index++) {
            void *who = happened[index].data.ptr;
            if (who == &listener) welcome(listener);
            else if (who == &timer) timer_rang = 1;
            else listen_to(who);
        }
        /* Last: it may hang up on clients that the events above still name. */
        if (timer_rang) answer_those_held_back();
        if (lines_length && now() - flushed_at > FLUSH_AFTER) flush_lines();
    }
    flush_lines();
    return 0;
}
