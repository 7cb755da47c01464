/* progress.c: a bar on a terminal, a line every five seconds elsewhere. */
#define _GNU_SOURCE
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <kin/time.h>

#define MILLISECOND ((int64_t)1000000)

static struct {
    bool on;
    bool terminal;
    bool visible;
    bool used; /* has been shown, or is wanted in any case */
    int64_t began;
    int64_t next;
    /* A moment some seconds back, for a rate that follows what happens. */
    int64_t rate_since;
    uint64_t rate_from;
    double rate;
} bar;

void progress_open(enum progress_mode mode)
{
    bar.terminal = isatty(STDERR_FILENO) == 1;
    bar.on = mode == PROGRESS_ON || (mode == PROGRESS_AUTOMATIC && bar.terminal);
    bar.used = mode == PROGRESS_ON;
    bar.began = bar.rate_since = kin_clock();
    /* What is over in a moment needs no bar. */
    bar.next = bar.began + (bar.terminal ? 300 : 5000) * MILLISECOND;
}

void progress_time(double seconds, char *text, size_t size)
{
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole < 3600) {
        snprintf(text, size, "%lu:%02lu", whole / 60, whole % 60);
    } else {
        snprintf(text, size, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    }
}

static void update_rate(const struct progress_figures *figures, int64_t now)
{
    double seconds = (double)(now - bar.rate_since) / 1e9;
    if (seconds > 0) bar.rate = (double)(figures->done - bar.rate_from) / seconds;
    if (seconds < 10) return;
    bar.rate_since = now;
    bar.rate_from = figures->done;
}

static size_t describe(const struct progress_figures *figures, int64_t now, char *text, size_t size)
{
    char time[32];
    double total = figures->total;
    int used = total > 0 ? snprintf(text, size, "%llu/%.0f", (unsigned long long)figures->done, total)
                         : snprintf(text, size, "%llu done", (unsigned long long)figures->done);
    used += snprintf(text + used, size - (size_t)used, " %.*f/s", bar.rate < 10 ? 1 : 0, bar.rate);
    double left = total - (double)figures->done;
    if (total > 0 && left > 0 && bar.rate > 0) {
        progress_time(left / bar.rate, time, sizeof time);
        used += snprintf(text + used, size - (size_t)used, " ETA %s", time);
    } else {
        progress_time((double)(now - bar.began) / 1e9, time, sizeof time);
        used += snprintf(text + used, size - (size_t)used, " in %s", time);
    }
    if (figures->running > 0)
        used += snprintf(text + used, size - (size_t)used, " %u running", figures->running);
    if (figures->failed > 0)
        used +=
            snprintf(text + used, size - (size_t)used, " %llu failed", (unsigned long long)figures->failed);
    return (size_t)used;
}

static size_t terminal_width(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col < 20) return 80;
    return window.ws_col;
}

static void put(const char *bytes, size_t size)
{
    /* What cannot be shown is not worth an error. */
    ssize_t ignored = write(STDERR_FILENO, bytes, size);
    (void)ignored;
}

static void draw(const struct progress_figures *figures, int64_t now)
{
    char text[256];
    size_t size = describe(figures, now, text, sizeof text);
    size_t width = terminal_width() - 1;
    if (size > width) size = width;
    char line[640] = "\r";
    size_t used = 1;
    size_t room = width > size + 10 ? width - size - 10 : 0;
    if (room > 40) room = 40;
    if (figures->total > 0 && room >= 10) {
        double part = (double)figures->done / figures->total;
        if (part > 1) part = 1;
        size_t filled = (size_t)((double)room * part);
        used += (size_t)snprintf(line + used, sizeof line - used, "%3.0f%% [", part * 100);
        memset(line + used, '=', filled);
        memset(line + used + filled, ' ', room - filled);
        used += room;
        memcpy(line + used, "] ", 2);
        used += 2;
    }
    memcpy(line + used, text, size);
    used += size;
    memcpy(line + used, "\033[K", 3);
    put(line, used + 3);
    bar.visible = true;
}

static void print_line(const struct progress_figures *figures, int64_t now)
{
    char text[256];
    size_t size = describe(figures, now, text, sizeof text - 1);
    text[size++] = '\n';
    put(text, size);
}

int64_t progress_show(const struct progress_figures *figures)
{
    if (!bar.on) return KIN_FOREVER;
    int64_t now = kin_clock();
    if (now < bar.next) return bar.next;
    bar.used = true;
    update_rate(figures, now);
    if (bar.terminal) {
        draw(figures, now);
        bar.next = now + 100 * MILLISECOND;
    } else {
        print_line(figures, now);
        bar.next = now + 5000 * MILLISECOND;
    }
    return bar.next;
}

void progress_hide(void)
{
    if (!bar.visible) return;
    put("\r\033[K", 4);
    bar.visible = false;
}

void progress_close(const struct progress_figures *figures)
{
    if (!bar.on || !bar.used) return;
    int64_t now = kin_clock();
    bar.rate_since = bar.began;
    bar.rate_from = 0;
    update_rate(figures, now);
    progress_hide();
    print_line(figures, now);
    bar.on = false;
}
