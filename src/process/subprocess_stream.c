/* subprocess_stream.c: the pipes of a command: feeding it, collecting from it, waiting for it.
 *
 * Every call that waits is one loop (`attend`): it looks whether what it waits for is there, polls
 * all that may bring it about, and does what can be done without waiting.  Both outputs are
 * collected whatever is waited for, so a command never stops at a pipe that nobody reads; only
 * the stream that a caller reads from is not read ahead, so that the command waits for the caller.
 *
 * Invariant: the ends of the pipes on this side never block.
 */
#include <kin/subprocess.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "os/spawn.h"
#include "process/subprocess.h"

/* How often a command is looked at that has ended but is still in the hands of a debugger. */
#define TRACED_MS 5

#define WRITE_MOST ((size_t)1 << 20)

/* What a call waits for. */
enum goal {
    GOAL_END,  /* of every command */
    GOAL_ALL,  /* that, and the ends of the outputs */
    GOAL_DATA, /* something to read */
    GOAL_LINE, /* a line to read */
    GOAL_ROOM  /* to write what is given */
};

struct attention {
    kin_subprocess *subprocess;
    enum goal goal;
    struct kin__stream *stream; /* that is read from */
    size_t seen;                /* GOAL_LINE: bytes without a newline */
    const char *data;           /* GOAL_ROOM */
    size_t size;
    size_t written;
    bool over;     /* GOAL_ROOM: nobody reads any more */
    bool too_long; /* GOAL_LINE: it is longer than output_limit */
};

/* ---- writing --------------------------------------------------------------------------------------- */

static bool can_write(const struct kin__stream *stream)
{
    return kin__stream_is_collected(stream);
}

static bool is_feeding(const kin_subprocess *subprocess)
{
    return can_write(&subprocess->streams[0]) && subprocess->input_written < subprocess->input_size;
}

/* Writes once; returns how many bytes, or a negative code: -EPIPE when nobody reads. */
static long put(struct kin__stream *stream, const char *data, size_t size)
{
    ssize_t count = kin__os_write(stream->handle.descriptor, data, size < WRITE_MOST ? size : WRITE_MOST);
    return count == -EAGAIN ? 0 : (long)count;
}

/* A command that does not read all its input is none that failed. */
static void feed(kin_subprocess *subprocess)
{
    long count = put(&subprocess->streams[0], subprocess->input + subprocess->input_written,
                     subprocess->input_size - subprocess->input_written);
    if (count > 0) subprocess->input_written += (size_t)count;
    if (count < 0 || subprocess->input_written == subprocess->input_size)
        kin__stream_end(&subprocess->streams[0]);
}

static void write_on(struct attention *attention)
{
    struct kin__stream *stream = &attention->subprocess->streams[0];
    if (!can_write(stream)) {
        attention->over = true;
        return;
    }
    long count = put(stream, attention->data + attention->written, attention->size - attention->written);
    if (count < 0) attention->over = true;
    if (count > 0) attention->written += (size_t)count;
}

/* ---- what is waited for -------------------------------------------------------------------------- */

static bool has_line(struct attention *attention)
{
    struct kin__stream *stream = attention->stream;
    size_t size = stream->end - stream->start;
    if (size > attention->seen) {
        if (memchr(stream->data + stream->start + attention->seen, '\n', size - attention->seen)) return true;
        attention->seen = size;
        attention->too_long = size >= stream->limit;
        if (attention->too_long) return true;
    }
    return !kin__stream_is_collected(stream);
}

static bool is_reached(struct attention *attention)
{
    kin_subprocess *subprocess = attention->subprocess;
    struct kin__stream *stream = attention->stream;
    switch (attention->goal) {
    case GOAL_DATA: return stream->end > stream->start || !kin__stream_is_collected(stream);
    case GOAL_LINE: return has_line(attention);
    case GOAL_ROOM: return attention->over || attention->written == attention->size;
    case GOAL_END: return kin__subprocess_ended(subprocess);
    default:
        if (!kin__subprocess_ended(subprocess)) return false;
        return subprocess->stop_at_exit || (!kin__stream_is_collected(&subprocess->streams[1]) &&
                                            !kin__stream_is_collected(&subprocess->streams[2]));
    }
}

/* ---- the loop ------------------------------------------------------------------------------------ */

/* What is polled: the three streams, then the commands. */
struct polled {
    struct kin__poll items[3 + KIN__COMMANDS_MOST];
    size_t count;
};

static void prepare(const struct attention *attention, struct polled *polled)
{
    kin_subprocess *subprocess = attention->subprocess;
    bool writing = attention->goal == GOAL_ROOM || is_feeding(subprocess);
    bool waiting = attention->goal == GOAL_END || attention->goal == GOAL_ALL;
    for (int i = 0; i < 3; i++) {
        struct kin__stream *stream = &subprocess->streams[i];
        bool wanted = kin__stream_is_collected(stream) && (i > 0 || writing);
        polled->items[i] =
            (struct kin__poll){.descriptor = wanted ? stream->handle.descriptor : -1, .write = i == 0};
        stream->pollers += wanted;
    }
    polled->count = 3;
    for (size_t i = 0; waiting && i < subprocess->count; i++) {
        const struct kin__command *command = &subprocess->commands[i];
        polled->items[polled->count++].descriptor = command->ended ? -1 : command->descriptor;
    }
}

static void release(kin_subprocess *subprocess, const struct polled *polled)
{
    for (int i = 0; i < 3; i++) {
        struct kin__stream *stream = &subprocess->streams[i];
        if (polled->items[i].descriptor < 0) continue;
        stream->pollers--;
        if (stream->ended) kin__stream_end(stream);
    }
}

/* 1 when a command has ended that cannot be collected yet. */
static int collect(kin_subprocess *subprocess, const struct polled *polled)
{
    int held = 0;
    for (size_t i = 3; i < polled->count; i++) {
        if (polled->items[i].descriptor < 0 || !polled->items[i].ready) continue;
        int rc = kin__command_collect(subprocess, &subprocess->commands[i - 3]);
        if (rc < 0) return rc;
        if (rc == 0) held = 1;
    }
    return held;
}

/* Does what the poll has shown to be possible. */
static int work(struct attention *attention, const struct polled *polled)
{
    kin_subprocess *subprocess = attention->subprocess;
    int result = 0;
    for (int i = 1; i < 3; i++) {
        struct kin__stream *stream = &subprocess->streams[i];
        if (polled->items[i].descriptor < 0 || !polled->items[i].ready) continue;
        int rc = kin__stream_is_collected(stream) ? kin__stream_fill(stream) : 0;
        if (rc < 0) result = rc;
    }
    if (polled->items[0].descriptor >= 0 && polled->items[0].ready) {
        if (attention->goal == GOAL_ROOM)
            write_on(attention);
        else if (is_feeding(subprocess))
            feed(subprocess);
    }
    int rc = collect(subprocess, polled);
    return rc < 0 ? rc : result < 0 ? result : rc;
}

static kin_deadline sooner(kin_deadline one, kin_deadline other)
{
    return one < other ? one : other;
}

/* With the lock held, which it gives up while it waits.  0: it is there. */
static int attend(struct attention *attention, kin_deadline deadline)
{
    kin_subprocess *subprocess = attention->subprocess;
    struct polled polled = {.count = 0};
    int rc = 0;
    while (rc >= 0 && !is_reached(attention)) {
        bool held = rc == 1;
        prepare(attention, &polled);
        pthread_mutex_unlock(&subprocess->lock);
        if (held) kin__os_poll(NULL, 0, sooner(kin_in_ms(TRACED_MS), deadline));
        rc = kin__os_poll(polled.items, polled.count, deadline);
        pthread_mutex_lock(&subprocess->lock);
        if (rc == 0 || (held && kin_clock() >= deadline)) rc = -ETIMEDOUT;
        if (rc > 0) rc = work(attention, &polled);
        if (rc == -EINTR) rc = 0;
        release(subprocess, &polled);
    }
    return rc < 0 && !is_reached(attention) ? rc : 0;
}

void kin__subprocess_drain(kin_subprocess *subprocess)
{
    kin__stream_drain(&subprocess->streams[1]);
    kin__stream_drain(&subprocess->streams[2]);
}

/* ---- the whole ------------------------------------------------------------------------------------ */

int kin_subprocess_wait(kin_subprocess *subprocess, kin_deadline deadline)
{
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    struct attention attention = {.subprocess = subprocess, .goal = GOAL_END};
    rc = attend(&attention, deadline);
    if (rc == 0) kin__subprocess_drain(subprocess);
    kin__subprocess_leave(subprocess);
    return rc;
}

static int set_input(kin_subprocess *subprocess, const void *input, size_t size)
{
    if (input != NULL && subprocess->input == NULL) {
        if (!can_write(&subprocess->streams[0])) return -EBADF;
        subprocess->input = input;
        subprocess->input_size = size;
    }
    bool same = input == NULL || (input == subprocess->input && size == subprocess->input_size);
    return same ? 0 : -EINVAL;
}

int kin_subprocess_communicate(kin_subprocess *subprocess, const void *input, size_t size,
                               kin_deadline deadline)
{
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    rc = set_input(subprocess, input, size);
    if (rc == 0) {
        struct attention attention = {.subprocess = subprocess, .goal = GOAL_ALL};
        if (can_write(&subprocess->streams[0]) && !is_feeding(subprocess))
            kin__stream_end(&subprocess->streams[0]);
        rc = attend(&attention, deadline);
    }
    if (rc == 0) kin__subprocess_drain(subprocess);
    kin__subprocess_leave(subprocess);
    return rc;
}

/* ---- a stream ------------------------------------------------------------------------------------ */

/* Begins the use of a handle for one of its streams. */
static int enter_for(kin_subprocess *subprocess, int stream, int first)
{
    int rc = kin__subprocess_enter(subprocess);
    if (rc < 0) return rc;
    if (stream >= first && stream <= 2) {
        const struct kin__stream *one = &subprocess->streams[stream];
        if (one->piped && !one->taken) return 0;
    }
    kin__subprocess_leave(subprocess);
    return -EBADF;
}

const char *kin_subprocess_output(kin_subprocess *subprocess, int stream, size_t *size)
{
    size_t kept = 0;
    const char *output = NULL;
    if (enter_for(subprocess, stream, 1) == 0) {
        output = kin__stream_kept(&subprocess->streams[stream], &kept);
        kin__subprocess_leave(subprocess);
    }
    if (size != NULL) *size = kept;
    return output;
}

int kin_subprocess_dropped(kin_subprocess *subprocess, int stream, uint64_t *bytes)
{
    if (bytes == NULL) return -EINVAL;
    int rc = enter_for(subprocess, stream, 1);
    if (rc < 0) return rc;
    *bytes = subprocess->streams[stream].dropped;
    kin__subprocess_leave(subprocess);
    return 0;
}

long kin_subprocess_write(kin_subprocess *subprocess, const void *data, size_t size, kin_deadline deadline)
{
    if (data == NULL && size > 0) return -EINVAL;
    int rc = enter_for(subprocess, 0, 0);
    if (rc < 0) return rc;
    struct attention attention = {.subprocess = subprocess, .goal = GOAL_ROOM, .data = data, .size = size};
    if (!can_write(&subprocess->streams[0]) || is_feeding(subprocess))
        rc = -EBADF;
    else if (size > 0)
        write_on(&attention);
    if (rc == 0) rc = attend(&attention, deadline);
    kin__subprocess_leave(subprocess);
    if (attention.written > 0) return (long)attention.written;
    return attention.over ? -EPIPE : rc;
}

int kin_subprocess_close_stdin(kin_subprocess *subprocess)
{
    int rc = enter_for(subprocess, 0, 0);
    if (rc < 0) return rc;
    kin__stream_end(&subprocess->streams[0]);
    kin__subprocess_leave(subprocess);
    return 0;
}

/* Ends a wait for a stream's data: what there is counts, whatever happened besides. */
static int await(struct attention *attention, kin_deadline deadline)
{
    kin__stream_mend(attention->stream);
    return attend(attention, deadline);
}

long kin_subprocess_read(kin_subprocess *subprocess, int stream, void *buffer, size_t size,
                         kin_deadline deadline)
{
    if (buffer == NULL || size == 0) return -EINVAL;
    long rc = enter_for(subprocess, stream, 1);
    if (rc < 0) return rc;
    struct kin__stream *from = &subprocess->streams[stream];
    struct attention attention = {.subprocess = subprocess, .goal = GOAL_DATA, .stream = from};
    rc = await(&attention, deadline);
    if (rc == 0) {
        size_t there = from->end - from->start;
        rc = (long)(there < size ? there : size);
        if (rc > 0) memcpy(buffer, from->data + from->start, (size_t)rc);
        from->start += (size_t)rc;
    }
    kin__subprocess_leave(subprocess);
    return rc;
}

/* The end of the stream ends a line too, but not an empty one. */
static long cut_line(struct kin__stream *stream, const char **line)
{
    size_t size = stream->end - stream->start;
    if (size == 0) return KIN_ECLOSED;
    char *start = stream->data + stream->start;
    char *newline = memchr(start, '\n', size);
    char *end = newline != NULL ? newline : start + size;
    kin__stream_mark(stream, end);
    stream->start += (size_t)(end - start) + (newline != NULL);
    *line = start;
    return (long)(end - start);
}

long kin_subprocess_read_line(kin_subprocess *subprocess, int stream, const char **line,
                              kin_deadline deadline)
{
    if (line == NULL) return -EINVAL;
    long rc = enter_for(subprocess, stream, 1);
    if (rc < 0) return rc;
    struct kin__stream *from = &subprocess->streams[stream];
    struct attention attention = {.subprocess = subprocess, .goal = GOAL_LINE, .stream = from};
    rc = await(&attention, deadline);
    if (rc == 0) rc = attention.too_long ? -EFBIG : cut_line(from, line);
    kin__subprocess_leave(subprocess);
    return rc;
}

/* ---- descriptors ------------------------------------------------------------------------------------ */

int kin_subprocess_descriptor(kin_subprocess *subprocess, int stream)
{
    int rc = enter_for(subprocess, stream, 0);
    if (rc < 0) return rc;
    rc = subprocess->streams[stream].handle.descriptor;
    kin__subprocess_leave(subprocess);
    return rc < 0 ? -EBADF : rc;
}

int kin_subprocess_take(kin_subprocess *subprocess, int stream)
{
    int rc = enter_for(subprocess, stream, 0);
    if (rc < 0) return rc;
    struct kin__stream *one = &subprocess->streams[stream];
    rc = one->ended || one->handle.descriptor < 0 ? -EBADF
                                                  : kin__os_set_blocking(one->handle.descriptor, true);
    if (rc == 0) {
        rc = kin__handle_release(&one->handle);
        one->taken = true;
    }
    kin__subprocess_leave(subprocess);
    return rc;
}
