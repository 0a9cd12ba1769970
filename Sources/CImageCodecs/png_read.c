#include "codecs.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
    const uint8_t *data;
    size_t size, position;
    alb_image_info *info;
} png_source;

static void on_error(png_structp png, png_const_charp text) {
    png_source *source = png_get_error_ptr(png);
    alb_image_set_message(source->info, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep dst, size_t count) {
    png_source *source = png_get_io_ptr(png);
    if (count > source->size - source->position) png_error(png, "the PNG data is truncated");
    memcpy(dst, source->data + source->position, count);
    source->position += count;
}

// Transparency, text, profiles and the like have no influence on the pixels; unread, they cannot be used to waste memory.
static void ignore_metadata(png_structp png) {
    static const png_byte names[] =
        "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0tRNS\0zTXt";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, (int)(sizeof names / 5));
}

// Pillow keeps grey pictures of 16 bits as integers and clips them to 255 on the way to RGB. Two bytes a pixel become
// three, in place and from the right, so that nothing is overwritten before it is read.
static void clip_grey16(uint8_t *row, size_t width) {
    for (size_t x = width; x-- > 0;) {
        uint8_t value = row[2 * x] != 0 ? 255 : row[2 * x + 1];
        row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = value;
    }
}

static void read_pixels(png_structp png, png_infop header, uint8_t *rgb) {
    png_byte type = png_get_color_type(png, header), depth = png_get_bit_depth(png, header);
    size_t width = png_get_image_width(png, header), height = png_get_image_height(png, header);
    bool grey16 = type == PNG_COLOR_TYPE_GRAY && depth == 16;
    if (!grey16) {
        // All other 16-bit values lose their lower byte. Transparency is dropped, not composited.
        if (depth == 16) png_set_strip_16(png);
        if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
        if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
        if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
        png_set_strip_alpha(png);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, header);
    if (png_get_rowbytes(png, header) != width * (grey16 ? 2 : 3)) png_error(png, "unsupported pixel format");
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) png_read_row(png, rgb + y * width * 3, NULL);
    if (grey16)
        for (size_t y = 0; y < height; y++) clip_grey16(rgb + y * width * 3, width);
}

bool alb_png_matches(const uint8_t *data, size_t size) { return size >= 8 && png_sig_cmp(data, 0, 8) == 0; }

alb_image_status alb_png_read(const uint8_t *data, size_t size, uint8_t *rgb, alb_image_info *info) {
    png_source source = {.data = data, .size = size, .position = 0, .info = info};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
    png_infop header = png == NULL ? NULL : png_create_info_struct(png);
    if (header == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        alb_image_set_message(info, "not enough memory");
        return ALB_IMAGE_NO_MEMORY;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &header, NULL);
        return ALB_IMAGE_BAD_DATA;
    }
    png_set_read_fn(png, &source, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller bounds the number of pixels
    ignore_metadata(png);
    png_read_info(png, header);
    uint32_t width = png_get_image_width(png, header), height = png_get_image_height(png, header);
    if (rgb == NULL) {
        info->width = width;
        info->height = height;
    } else {
        if (info->width != width || info->height != height) png_error(png, "the file changed while it was read");
        read_pixels(png, header, rgb);
    }
    png_destroy_read_struct(&png, &header, NULL);
    return ALB_IMAGE_OK;
}
