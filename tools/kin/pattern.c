/* pattern.c: {} forms. */
#define _GNU_SOURCE
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum piece_kind {
    PIECE_LITERAL,
    PIECE_VALUE,
    PIECE_NO_EXTENSION,
    PIECE_BASE,
    PIECE_DIRECTORY,
    PIECE_BASE_NO_EXTENSION,
    PIECE_SEQUENCE,
    PIECE_SLOT
};

struct piece {
    enum piece_kind kind;
    const char *text; /* of a literal */
    size_t size;
    size_t position; /* of the value, from 1; 0: all of them */
};

struct word {
    size_t first; /* of its pieces */
    size_t count;
};

struct pattern {
    enum pattern_mode mode;
    const char *name; /* shown before it; NULL: none */
    struct piece *pieces;
    size_t piece_count;
    struct word *words;
    size_t word_count;
    bool varies;
};

static const struct {
    const char *text;
    enum piece_kind kind;
} forms[] = {
    {"}", PIECE_VALUE},       {".}", PIECE_NO_EXTENSION},       {"/}", PIECE_BASE},
    {"//}", PIECE_DIRECTORY}, {"/.}", PIECE_BASE_NO_EXTENSION}, {"#}", PIECE_SEQUENCE},
    {"%}", PIECE_SLOT},
};

/* Recognizes a form at `text`; returns its length, 0 if there is none. */
static size_t match_form(const char *text, const char *replace, struct piece *piece)
{
    *piece = (struct piece){.kind = PIECE_VALUE};
    if (replace != NULL && strncmp(text, replace, strlen(replace)) == 0) return strlen(replace);
    if (text[0] != '{') return 0;
    size_t digits = strspn(text + 1, "0123456789");
    if (digits > 0) {
        if (digits > 6) return 0;
        piece->position = (size_t)atol(text + 1);
        if (piece->position == 0) return 0;
    } else if (replace != NULL && text[1] == '}') {
        return 0;
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t length = strlen(forms[i].text);
        if (strncmp(text + 1 + digits, forms[i].text, length) != 0) continue;
        if (digits > 0 && forms[i].kind >= PIECE_SEQUENCE) return 0;
        piece->kind = forms[i].kind;
        return 1 + digits + length;
    }
    return 0;
}

static void add_piece(struct pattern *pattern, struct piece piece)
{
    pattern->pieces = memory_resize(pattern->pieces, (pattern->piece_count + 1) * sizeof *pattern->pieces);
    pattern->pieces[pattern->piece_count++] = piece;
    pattern->words[pattern->word_count - 1].count++;
}

static void add_word(struct pattern *pattern, const char *text, const char *replace)
{
    pattern->words = memory_resize(pattern->words, (pattern->word_count + 1) * sizeof *pattern->words);
    pattern->words[pattern->word_count++] = (struct word){pattern->piece_count, 0};
    const char *literal = text;
    while (*text != '\0') {
        struct piece piece;
        size_t length = match_form(text, replace, &piece);
        if (length == 0) {
            text++;
            continue;
        }
        if (text > literal)
            add_piece(pattern, (struct piece){PIECE_LITERAL, literal, (size_t)(text - literal), 0});
        add_piece(pattern, piece);
        pattern->varies = true;
        text += length;
        literal = text;
    }
    if (text > literal)
        add_piece(pattern, (struct piece){PIECE_LITERAL, literal, (size_t)(text - literal), 0});
}

struct pattern *pattern_parse(char *const *words, size_t count, enum pattern_mode mode, const char *replace,
                              bool append)
{
    struct pattern *pattern = memory_zeroed(1, sizeof *pattern);
    pattern->mode = mode;
    for (size_t i = 0; i < count; i++) add_word(pattern, words[i], replace);
    if (!pattern->varies && append) add_word(pattern, "{}", NULL);
    return pattern;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL) return;
    free(pattern->pieces);
    free(pattern->words);
    free(pattern);
}

void pattern_set_name(struct pattern *pattern, const char *name)
{
    pattern->name = name;
}

const char *pattern_name(const struct pattern *pattern)
{
    return pattern->name;
}

bool pattern_varies(const struct pattern *pattern)
{
    return pattern->varies;
}

bool pattern_program_varies(const struct pattern *pattern)
{
    if (pattern->mode != PATTERN_DIRECT || pattern->word_count == 0) return false;
    for (size_t i = 0; i < pattern->words[0].count; i++)
        if (pattern->pieces[i].kind != PIECE_LITERAL) return true;
    return false;
}

static bool is_whole_input(const struct pattern *pattern, const struct word *word)
{
    const struct piece *piece = &pattern->pieces[word->first];
    return word->count == 1 && piece->kind == PIECE_VALUE && piece->position == 0;
}

bool pattern_is_input(const struct pattern *pattern)
{
    return pattern->word_count == 1 && is_whole_input(pattern, &pattern->words[0]);
}

bool pattern_needs_shell(const char *word, const char *replace)
{
    if (*word == '~' || *word == '#') return true;
    while (*word != '\0') {
        struct piece piece;
        size_t length = match_form(word, replace, &piece);
        if (length == 0 && strchr(" \t\n|&;<>()$`\\\"'*?[]{}", *word) != NULL) return true;
        word += length > 0 ? length : 1;
    }
    return false;
}

/* ---- expansion ---------------------------------------------------------------------------- */

static bool is_safe(const char *bytes, size_t size)
{
    static const char safe[] = "%+,-./:=@_";
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) continue;
        if (c == '\0' || strchr(safe, c) == NULL) return false;
    }
    return size > 0;
}

static void add_quoted(struct buffer *out, const char *bytes, size_t size)
{
    if (is_safe(bytes, size)) {
        buffer_add(out, bytes, size);
        return;
    }
    buffer_add_character(out, '\'');
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\'') {
            buffer_add_text(out, "'\\''");
        } else {
            buffer_add_character(out, bytes[i]);
        }
    }
    buffer_add_character(out, '\'');
}

/* Narrows a value to the part of it that a form means. */
static void take_part(enum piece_kind kind, const char **bytes, size_t *size)
{
    const char *slash = memrchr(*bytes, '/', *size);
    size_t directory = slash == NULL ? 0 : (size_t)(slash - *bytes);
    if (kind == PIECE_DIRECTORY) {
        while (directory > 1 && (*bytes)[directory - 1] == '/') directory--;
        if (slash == NULL) *bytes = ".";
        *size = directory == 0 ? 1 : directory;
        return;
    }
    if (kind == PIECE_BASE || kind == PIECE_BASE_NO_EXTENSION) {
        size_t skip = slash == NULL ? 0 : directory + 1;
        *bytes += skip;
        *size -= skip;
    }
    if (kind != PIECE_NO_EXTENSION && kind != PIECE_BASE_NO_EXTENSION) return;
    const char *dot = memrchr(*bytes, '.', *size);
    slash = memrchr(*bytes, '/', *size);
    if (dot != NULL && (slash == NULL || dot > slash)) *size = (size_t)(dot - *bytes);
}

static void add_value(const struct piece *piece, const struct job *job, size_t index, bool quote,
                      struct buffer *out)
{
    size_t size;
    const char *bytes = job_value(job, index, &size);
    take_part(piece->kind, &bytes, &size);
    if (quote) {
        add_quoted(out, bytes, size);
    } else {
        buffer_add(out, bytes, size);
    }
}

static void add_piece_text(const struct piece *piece, const struct job *job, bool quote, struct buffer *out)
{
    switch (piece->kind) {
    case PIECE_LITERAL: buffer_add(out, piece->text, piece->size); return;
    case PIECE_SEQUENCE: buffer_format(out, "%llu", (unsigned long long)job->sequence); return;
    case PIECE_SLOT: buffer_format(out, "%u", job->slot); return;
    default: break;
    }
    if (piece->position > 0) {
        add_value(piece, job, piece->position - 1, quote, out);
        return;
    }
    for (size_t i = 0; i < job->count; i++) {
        if (i > 0) buffer_add_character(out, ' ');
        add_value(piece, job, i, quote, out);
    }
}

static void begin_word(struct command *command)
{
    if (command->count + 3 > command->capacity) {
        command->capacity = command->capacity == 0 ? 16 : command->capacity * 2;
        command->starts = memory_resize(command->starts, command->capacity * sizeof *command->starts);
        command->words = memory_resize(command->words, command->capacity * sizeof *command->words);
    }
    command->starts[++command->count] = command->text.size;
}

static void finish_words(struct command *command)
{
    for (size_t i = 1; i <= command->count; i++) command->words[i] = command->text.bytes + command->starts[i];
    command->words[0] = NULL;
    command->words[command->count + 1] = NULL;
}

static void add_all_text(const struct pattern *pattern, const struct job *job, struct buffer *out)
{
    bool quote = pattern->mode == PATTERN_SHELL;
    for (size_t i = 0; i < pattern->word_count; i++) {
        const struct word *word = &pattern->words[i];
        if (i > 0) buffer_add_character(out, ' ');
        for (size_t k = 0; k < word->count; k++)
            add_piece_text(&pattern->pieces[word->first + k], job, quote, out);
    }
}

static void expand_direct(const struct pattern *pattern, const struct job *job, struct command *command)
{
    for (size_t i = 0; i < pattern->word_count; i++) {
        const struct word *word = &pattern->words[i];
        if (is_whole_input(pattern, word)) {
            /* Several values are as many words. */
            for (size_t k = 0; k < job->count; k++) {
                size_t size;
                const char *bytes = job_value(job, k, &size);
                begin_word(command);
                buffer_add(&command->text, bytes, size + 1);
            }
            continue;
        }
        begin_word(command);
        for (size_t k = 0; k < word->count; k++)
            add_piece_text(&pattern->pieces[word->first + k], job, false, &command->text);
        buffer_add_character(&command->text, '\0');
    }
}

void pattern_expand(const struct pattern *pattern, const struct job *job, struct command *command)
{
    command->count = 0;
    command->text.size = 0;
    if (pattern->mode == PATTERN_DIRECT) {
        expand_direct(pattern, job, command);
    } else {
        if (pattern->mode != PATTERN_TEXT) {
            static const char *const shell[] = {"/bin/sh", "-c"};
            for (size_t i = 0; i < 2; i++) {
                begin_word(command);
                buffer_add(&command->text, shell[i], strlen(shell[i]) + 1);
            }
        }
        begin_word(command);
        add_all_text(pattern, job, &command->text);
        buffer_add_character(&command->text, '\0');
    }
    finish_words(command);
}

void command_free(struct command *command)
{
    buffer_free(&command->text);
    free(command->starts);
    free(command->words);
    *command = (struct command){0};
}

const char *pattern_display(const struct pattern *pattern, const struct job *job)
{
    static struct buffer text;
    text.size = 0;
    if (pattern->mode == PATTERN_SHELL || pattern->mode == PATTERN_SCRIPT) {
        add_all_text(pattern, job, &text);
    } else {
        struct command command = {0};
        pattern_expand(pattern, job, &command);
        if (pattern->name != NULL) add_quoted(&text, pattern->name, strlen(pattern->name));
        for (size_t i = 1; i <= command.count; i++) {
            if (text.size > 0) buffer_add_character(&text, ' ');
            add_quoted(&text, command.words[i], strlen(command.words[i]));
        }
        command_free(&command);
    }
    buffer_add_character(&text, '\0');
    return text.bytes;
}
