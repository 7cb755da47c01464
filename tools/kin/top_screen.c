/* top_screen.c: `kin top` on a terminal: a page that is written anew, and a few keys.
 *
 * The terminal is given back as it was however the program ends, but for SIGKILL; SIGTSTP gives it back
 * until the program goes on. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/time.h>

#include "say.h"
#include "top.h"

#define ENTER "\033[?1049h\033[?25l" /* another screen, without a cursor */
#define LEAVE "\033[?25h\033[?1049l"

struct screen {
    struct looks *looks;
    struct screen_options options;
    struct termios before;
    bool raw; /* keys are read: standard input is the terminal */
    int signals;
    size_t top; /* the first line that is shown */
    size_t lines;
    int rows, columns;
};

/* ---- the terminal ------------------------------------------------------------------------------------- */

static void put(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, size);
        if (n < 0 && errno != EINTR) return;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
}

static void enter(struct screen *screen)
{
    screen->raw = tcgetattr(STDIN_FILENO, &screen->before) == 0;
    if (screen->raw) {
        struct termios raw = screen->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    put(ENTER, strlen(ENTER));
}

static void leave(const struct screen *screen)
{
    put(LEAVE, strlen(LEAVE));
    if (screen->raw) tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
}

static void measure(struct screen *screen)
{
    struct winsize window;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 1;
    screen->columns = known ? window.ws_col : 80;
    screen->rows = known ? window.ws_row : 24;
}

/* ---- the page -------------------------------------------------------------------------------------------- */

/* Adds as much of a line as the terminal has columns; escapes take none. */
static void add_line(struct buffer *page, const char *line, size_t size, int columns)
{
    bool escape = false;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)line[i];
        if (byte == '\033') escape = true;
        /* A byte that continues a character takes no column either. */
        bool counts = !escape && (byte & 0xc0) != 0x80;
        if (counts && columns == 0) break;
        columns -= counts;
        buffer_add_character(page, (char)byte);
        if (escape && byte == 'm') escape = false;
    }
    buffer_add_text(page, "\033[0m\033[K\r\n");
}

static void add_title(struct buffer *page, const struct screen *screen)
{
    char title[160], clock[16];
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(clock, sizeof clock, "%H:%M:%S", &local);
    int size =
        snprintf(title, sizeof title, "kin top, %s, every %.3g s   q: quit  a: %s  up, down: scroll", clock,
                 (double)screen->options.interval_ns / 1e9, screen->options.style.all ? "less" : "all");
    add_line(page, title, (size_t)size, screen->columns);
}

static void draw(struct screen *screen)
{
    struct buffer text = {0}, page = {0};
    measure(screen);
    text_add(&text, screen->looks, &screen->options.style);
    screen->lines = 0;
    for (size_t i = 0; i < text.size; i++) screen->lines += text.bytes[i] == '\n';
    size_t room = (size_t)screen->rows - 2, most = screen->lines > room ? screen->lines - room : 0;
    if (screen->top > most) screen->top = most;
    buffer_add_text(&page, "\033[H");
    add_title(&page, screen);
    size_t number = 0;
    for (size_t start = 0; start < text.size && number < screen->top + room; number++) {
        const char *end = memchr(text.bytes + start, '\n', text.size - start);
        size_t size = (size_t)(end - text.bytes) - start;
        if (number >= screen->top) add_line(&page, text.bytes + start, size, screen->columns);
        start += size + 1;
    }
    buffer_add_text(&page, "\033[J");
    put(page.bytes, page.size);
    buffer_free(&text);
    buffer_free(&page);
}

/* ---- keys and signals ------------------------------------------------------------------------------------- */

static void scroll(struct screen *screen, long lines)
{
    if (lines < 0 && screen->top < (size_t)-lines)
        screen->top = 0;
    else
        screen->top += (size_t)lines;
}

/* False: end. */
static bool take_keys(struct screen *screen)
{
    char keys[64];
    ssize_t size = read(STDIN_FILENO, keys, sizeof keys);
    if (size <= 0) {
        screen->raw = screen->raw && size < 0 && errno == EINTR;
        return true;
    }
    for (ssize_t i = 0; i < size; i++) {
        /* The keys with arrows send "\033[A" and so on, or "\033OA"; "\033[5~" is a page. */
        if (keys[i] == '\033' && i + 2 < size && (keys[i + 1] == '[' || keys[i + 1] == 'O')) {
            i += 2;
            long page = screen->rows - 3;
            if (keys[i] == 'A') scroll(screen, -1);
            if (keys[i] == 'B') scroll(screen, 1);
            if (keys[i] == '5') scroll(screen, -page);
            if (keys[i] == '6') scroll(screen, page);
            while (i < size && keys[i] >= '0' && keys[i] <= '9') i++;
            continue;
        }
        if (keys[i] == 'q' || keys[i] == 'Q') return false;
        if (keys[i] == 'a') screen->options.style.all = !screen->options.style.all;
        if (keys[i] == 'k') scroll(screen, -1);
        if (keys[i] == 'j') scroll(screen, 1);
    }
    return true;
}

/* Stops as SIGTSTP says, with the terminal as it was. */
static void stop(struct screen *screen)
{
    sigset_t mask;
    leave(screen);
    sigemptyset(&mask);
    sigaddset(&mask, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    enter(screen);
}

/* False: end. */
static bool take_signal(struct screen *screen)
{
    struct signalfd_siginfo info;
    if (read(screen->signals, &info, sizeof info) != (ssize_t)sizeof info) return true;
    if (info.ssi_signo == SIGTSTP) stop(screen);
    return info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH;
}

static int open_signals(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGTSTP);
    sigaddset(&mask, SIGWINCH);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    return signalfd(-1, &mask, SFD_CLOEXEC);
}

/* Waits until it is time to look again: 1; 0: only to draw again; -1: end. */
static int wait_for_time(struct screen *screen, int64_t until)
{
    struct pollfd items[] = {{.fd = screen->signals, .events = POLLIN},
                             {.fd = screen->raw ? STDIN_FILENO : -1, .events = POLLIN}};
    int64_t left = until - kin_clock();
    struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (left <= 0) return 1;
    int ready = ppoll(items, 2, &time, NULL);
    if (ready == 0) return 1;
    if (ready > 0 && items[0].revents != 0 && !take_signal(screen)) return -1;
    if (ready > 0 && items[1].revents != 0 && !take_keys(screen)) return -1;
    return 0;
}

int top_screen(struct looks *looks, const struct screen_options *options)
{
    struct screen screen = {.looks = looks, .options = *options, .signals = open_signals()};
    int rc = 0, what = 1;
    if (screen.signals < 0) {
        say("cannot receive signals: %s", error_words(errno));
        return EXIT_OTHER;
    }
    enter(&screen);
    for (int64_t until = kin_clock(); what >= 0; what = wait_for_time(&screen, until)) {
        if (what == 1) {
            rc = look_again(looks, &screen.options.families);
            if (rc < 0) break;
            until = kin_clock() + options->interval_ns;
        }
        draw(&screen);
    }
    leave(&screen);
    close(screen.signals);
    if (rc < 0) say("cannot look at the families: %s", kin_strerror(rc));
    return rc < 0 ? EXIT_OTHER : 0;
}
