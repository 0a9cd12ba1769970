#include "codecs.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
    uint8_t *bytes;
    size_t size, capacity;
    alb_image_info *info;
} png_sink;

static void on_error(png_structp png, png_const_charp text) {
    png_sink *sink = png_get_error_ptr(png);
    alb_image_set_message(sink->info, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void write_bytes(png_structp png, png_bytep src, size_t count) {
    png_sink *sink = png_get_io_ptr(png);
    if (count > sink->capacity - sink->size) {
        size_t capacity = sink->capacity < 65536 ? 65536 : sink->capacity * 2;
        while (capacity - sink->size < count) capacity *= 2;
        uint8_t *bytes = realloc(sink->bytes, capacity);
        if (bytes == NULL) png_error(png, "not enough memory");
        sink->bytes = bytes;
        sink->capacity = capacity;
    }
    memcpy(sink->bytes + sink->size, src, count);
    sink->size += count;
}

static void flush_nothing(png_structp png) { (void)png; }

alb_image_status alb_png_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **dst, size_t *size, alb_image_info *info) {
    *dst = NULL;
    *size = 0;
    info->message[0] = 0;
    png_sink sink = {.bytes = NULL, .size = 0, .capacity = 0, .info = info};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning);
    png_infop header = png == NULL ? NULL : png_create_info_struct(png);
    if (header == NULL) {
        png_destroy_write_struct(&png, NULL);
        alb_image_set_message(info, "not enough memory");
        return ALB_IMAGE_NO_MEMORY;
    }
    // The sink is written between setjmp and a possible longjmp, but through a pointer that the library holds: it lies
    // in memory.
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &header);
        free(sink.bytes);
        return ALB_IMAGE_BAD_DATA;
    }
    png_set_write_fn(png, &sink, write_bytes, flush_nothing);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_compression_level(png, 6);
    png_set_IHDR(
        png, header, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, header);
    for (size_t y = 0; y < height; y++) png_write_row(png, rgb + y * width * 3);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &header);
    *dst = sink.bytes;
    *size = sink.size;
    return ALB_IMAGE_OK;
}

void alb_png_free(uint8_t *png) { free(png); }
