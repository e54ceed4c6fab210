#include "worker/access_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct writer {
    char *text;
    size_t length;
};

/* The room suffices for all fields at their longest; the last byte is for the line end. */
static void put(struct writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *writer, const char *format, ...)
{
    va_list args;
    size_t room = ACCESS_LINE_BYTES - 1 - writer->length;
    va_start(args, format);
    int length = vsnprintf(writer->text + writer->length, room, format, args);
    va_end(args);
    if (length > 0)
        writer->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void put_escaped(struct writer *writer, const char *text, const char *escape)
{
    static const char digit[] = "0123456789abcdef";
    size_t prefix = strlen(escape);
    for (size_t i = 0;
         text[i] != '\0' && i < ACCESS_LINE_MOST_FIELD && writer->length + 8 < ACCESS_LINE_BYTES; i++) {
        unsigned char c = (unsigned char)text[i];
        char *to = writer->text + writer->length;
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            *to = (char)c;
            writer->length++;
        } else if (c == '"' || c == '\\') {
            to[0] = '\\';
            to[1] = (char)c;
            writer->length += 2;
        } else {
            to = stpcpy(to, escape);
            to[0] = digit[c >> 4];
            to[1] = digit[c & 15];
            writer->length += prefix + 2;
        }
    }
}

static void put_field(struct writer *writer, const char *text)
{
    put(writer, " \"");
    put_escaped(writer, text != NULL ? text : "-", "\\x");
    put(writer, "\"");
}

static void put_member(struct writer *writer, const char *name, const char *text)
{
    if (text == NULL)
        return;
    put(writer, ",\"%s\":\"", name);
    put_escaped(writer, text, "\\u00");
    put(writer, "\"");
}

static void write_common(struct writer *writer, const struct access_line *line, const struct tm *tm)
{
    char date[32];
    strftime(date, sizeof date, "%d/%b/%Y:%H:%M:%S +0000", tm);
    put(writer, "%s - - [%s] \"", line->client, date);
    put_escaped(writer, line->method != NULL ? line->method : "-", "\\x");
    put(writer, " ");
    put_escaped(writer, line->target != NULL ? line->target : "-", "\\x");
    put(writer, " HTTP/1.%c\" %u %" PRIu64, line->is_http_1_0 ? '0' : '1', line->status, line->sent_bytes);
}

static void write_json(struct writer *writer, const struct access_line *line, const struct tm *tm)
{
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", tm);
    put(writer, "{\"time\":\"%s.%03dZ\",\"id\":\"%s\",\"client\":\"%s\"", date, (int)(line->time_ms % 1000),
        line->id, line->client);
    put_member(writer, "method", line->method);
    put_member(writer, "target", line->target);
    put(writer, ",\"http\":\"1.%c\",\"status\":%u,\"bytes\":%" PRIu64 ",\"whole\":%s,\"ms\":%.3f",
        line->is_http_1_0 ? '0' : '1', line->status, line->sent_bytes, line->is_whole ? "true" : "false",
        (double)line->took_us / 1000);
    put(writer, ",\"class\":\"%s\",\"protocol\":\"%s\",\"stages_ms\":{", line->class, line->protocol);
    const char *comma = "";
    for (size_t i = 0; line->stage_name[i] != NULL; i++) {
        if (line->stage_us[i] == 0)
            continue;
        put(writer, "%s\"%s\":%.3f", comma, line->stage_name[i], (double)line->stage_us[i] / 1000);
        comma = ",";
    }
    put(writer, "}");
    put_member(writer, "referer", line->referer);
    put_member(writer, "user_agent", line->user_agent);
    put(writer, "}");
}

size_t access_line_write(enum access_format format, const struct access_line *line,
                         char ret_text[ACCESS_LINE_BYTES])
{
    struct writer writer = {.text = ret_text};
    struct tm tm;
    time_t seconds = (time_t)(line->time_ms / 1000);
    gmtime_r(&seconds, &tm);
    if (format == ACCESS_JSON)
        write_json(&writer, line, &tm);
    else
        write_common(&writer, line, &tm);
    if (format == ACCESS_COMBINED) {
        put_field(&writer, line->referer);
        put_field(&writer, line->user_agent);
    }
    ret_text[writer.length++] = '\n';
    return writer.length;
}
