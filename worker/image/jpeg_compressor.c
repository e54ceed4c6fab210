#include "worker/image/jpeg_compressor.h"

#include <jerror.h>

static void on_error(j_common_ptr common)
{
    struct image_jpeg_compressor *c = common->client_data;
    longjmp(c->failed, 1);
}

static void on_message(j_common_ptr common, int level)
{
    (void)common;
    (void)level;
}

static void on_output(j_common_ptr common)
{
    (void)common;
}

/* Also before each step: what was made may have been taken out of `out` since the last one. */
static void start_output(j_compress_ptr lib)
{
    struct image_jpeg_compressor *c = lib->client_data;

    c->rc = bytes_reserve(c->out, c->room_bytes, c->err);
    if (c->rc != RC_OK)
        longjmp(c->failed, 1);
    c->destination.next_output_byte = c->out->data + c->out->length;
    c->destination.free_in_buffer = c->out->capacity - c->out->length;
    c->is_writing = true;
}

static boolean grow_output(j_compress_ptr lib)
{
    struct image_jpeg_compressor *c = lib->client_data;

    c->out->length = c->out->capacity; /* libjpeg calls this when all is full, whatever the pointers say */
    start_output(lib);
    return TRUE;
}

/* Also after each step: `out` then holds all that was made. */
static void end_output(j_compress_ptr lib)
{
    struct image_jpeg_compressor *c = lib->client_data;
    c->out->length = c->out->capacity - c->destination.free_in_buffer;
}

static void term_output(j_compress_ptr lib)
{
    struct image_jpeg_compressor *c = lib->client_data;
    end_output(lib);
    c->is_writing = false;
}

void image_jpeg_compressor_init(struct image_jpeg_compressor *c, const char *what, size_t room_bytes)
{
    c->what = what;
    c->room_bytes = room_bytes;
    c->lib.err = jpeg_std_error(&c->errors);
    c->errors.error_exit = on_error;
    c->errors.emit_message = on_message;
    c->errors.output_message = on_output;
    c->lib.client_data = c;
    c->destination.init_destination = start_output;
    c->destination.empty_output_buffer = grow_output;
    c->destination.term_destination = term_output;
}

void image_jpeg_compressor_done(struct image_jpeg_compressor *c)
{
    jpeg_destroy_compress(&c->lib);
}

enum rc image_jpeg_compressor_run(struct image_jpeg_compressor *c, image_jpeg_compressor_step *step,
                                  void *context, const void *argument, struct err *err)
{
    c->err = err;
    c->rc = RC_OK;
    if (setjmp(c->failed) == 0) {
        if (c->is_writing)
            start_output(&c->lib);
        step(context, argument);
        if (c->is_writing)
            end_output(&c->lib);
        return RC_OK;
    }
    c->is_writing = false;
    if (c->rc != RC_OK)
        return c->rc;
    char text[JMSG_LENGTH_MAX];
    c->lib.err->format_message((j_common_ptr)&c->lib, text);
    return err_set(err, c->lib.err->msg_code == JERR_OUT_OF_MEMORY ? RC_NO_MEMORY : RC_UNSUPPORTED,
                   "%s cannot be written as JPEG: %s", c->what, text);
}
