/* litter.c: reads from /proc what the calling process has open.
 *
 * It opens descriptors and streams of its own while it reads, and leaves none of them in what
 * it notes.
 */
#define _GNU_SOURCE
#include "litter.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static size_t read_descriptors(struct litter_descriptor *descriptors, size_t most)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory) FAIL("cannot open /proc/self/fd: %s", strerror(errno));
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        int number = atoi(entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) || number == dirfd(directory)) continue;
        if (count == most) FAIL("more than %zu descriptors are open", most);
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", number);
        struct litter_descriptor *found = &descriptors[count];
        ssize_t length = readlink(path, found->target, sizeof found->target - 1);
        if (length < 0) continue;
        found->target[length] = '\0';
        found->number = number;
        count++;
    }
    closedir(directory);
    return count;
}

static long count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    if (!directory) FAIL("cannot open /proc/self/task: %s", strerror(errno));
    long count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static bool is_private_heap(const char *line)
{
    const char *name = strchr(line, '[');
    return name && (strncmp(name, "[heap]", 6) == 0 || strncmp(name, "[stack", 6) == 0);
}

static long count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    if (!file) FAIL("cannot open /proc/self/maps: %s", strerror(errno));
    char line[512];
    long count = 0;
    while (fgets(line, sizeof line, file)) count += !is_private_heap(line);
    fclose(file);
    return count;
}

static pid_t parent_of(const char *process)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/%s/stat", process);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    ssize_t length = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    if (length <= 0) return -1;
    text[length] = '\0';
    /* The name in the second field may hold anything, parentheses too. */
    const char *after_name = strrchr(text, ')');
    char state;
    int parent;
    return after_name && sscanf(after_name + 1, " %c %d", &state, &parent) == 2 ? parent : -1;
}

size_t litter_children(pid_t parent, pid_t *children, size_t most)
{
    DIR *directory = opendir("/proc");
    if (!directory) FAIL("cannot open /proc: %s", strerror(errno));
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) && count < most;) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        if (parent_of(entry->d_name) == parent) children[count++] = atoi(entry->d_name);
    }
    closedir(directory);
    return count;
}

void litter_note(struct litter *litter)
{
    /* The first stream of a program takes memory for good; let that not look like a change. */
    litter->mappings = count_mappings();
    litter->descriptor_count = read_descriptors(litter->descriptors, LITTER_DESCRIPTORS_MOST);
    litter->child_count = litter_children(getpid(), litter->children, LITTER_CHILDREN_MOST);
    litter->threads = count_threads();
    litter->mappings = count_mappings();
}

/* ---- comparing ------------------------------------------------------------------------- */

struct report {
    char *text;
    size_t size;
    size_t used;
};

static void report(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void report(struct report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (report->used > 0 && report->used < report->size) {
        report->used += (size_t)snprintf(report->text + report->used, report->size - report->used, "; ");
    }
    if (report->used < report->size) {
        int more = vsnprintf(report->text + report->used, report->size - report->used, format, arguments);
        if (more > 0) report->used += (size_t)more;
    }
    va_end(arguments);
}

static bool had_descriptor(const struct litter *before, const struct litter_descriptor *now)
{
    for (size_t i = 0; i < before->descriptor_count; i++) {
        const struct litter_descriptor *old = &before->descriptors[i];
        if (old->number == now->number && strcmp(old->target, now->target) == 0) return true;
    }
    return false;
}

static bool is_family_memory(const struct litter_descriptor *descriptor)
{
    return strncmp(descriptor->target, "/memfd:kin", 10) == 0;
}

static void compare_descriptors(const struct litter *before, struct report *out)
{
    static struct litter_descriptor now[LITTER_DESCRIPTORS_MOST];
    size_t count = read_descriptors(now, LITTER_DESCRIPTORS_MOST);
    const char *lifeline = NULL;
    bool family_may_come = true;
    for (size_t i = 0; i < before->descriptor_count; i++) {
        if (is_family_memory(&before->descriptors[i])) family_may_come = false;
    }
    for (size_t i = 0; i < count; i++) {
        if (had_descriptor(before, &now[i])) continue;
        if (family_may_come && is_family_memory(&now[i])) {
            family_may_come = false;
            continue;
        }
        bool kept_from_exec = (fcntl(now[i].number, F_GETFD) & FD_CLOEXEC) != 0;
        if (kept_from_exec && strncmp(now[i].target, "pipe:", 5) == 0) {
            if (!lifeline) lifeline = now[i].target;
            if (strcmp(lifeline, now[i].target) == 0) continue;
        }
        report(out, "descriptor %d (%s)", now[i].number, now[i].target);
    }
}

static void compare_children(const struct litter *before, struct report *out)
{
    pid_t now[LITTER_CHILDREN_MOST];
    size_t count = litter_children(getpid(), now, LITTER_CHILDREN_MOST);
    for (size_t i = 0; i < count; i++) {
        bool had = false;
        for (size_t k = 0; k < before->child_count; k++) had = had || before->children[k] == now[i];
        if (!had) report(out, "child process %d", (int)now[i]);
    }
}

static void compare_all(const struct litter *before, unsigned kinds, struct report *out)
{
    if (kinds & LITTER_DESCRIPTORS) compare_descriptors(before, out);
    if (kinds & LITTER_CHILDREN) compare_children(before, out);
    if (kinds & LITTER_THREADS) {
        long more = count_threads() - before->threads;
        if (more > 0) report(out, "%ld thread%s", more, more == 1 ? "" : "s");
    }
    if (kinds & LITTER_MAPPINGS) {
        long more = count_mappings() - before->mappings;
        if (more > 0) report(out, "%ld mapping%s", more, more == 1 ? "" : "s");
    }
}

bool litter_compare(const struct litter *before, unsigned kinds, char *text, size_t size)
{
    double end = test_seconds() + 2;
    for (;;) {
        struct report out = {text, size, 0};
        compare_all(before, kinds, &out);
        if (out.used == 0) return false;
        /* Only a thread or a child can still go by itself. */
        if (!(kinds & (LITTER_THREADS | LITTER_CHILDREN)) || test_seconds() > end) return true;
        struct timespec pause = {0, 1000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}
