#include "codecs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// A progressive file may hold any number of scans, each of which costs a pass over the whole picture: a small file could
// keep a machine busy for hours. Encoders write about ten.
enum { MAXIMUM_SCANS = 500 };

typedef struct {
    struct jpeg_error_mgr base;  // first, so that the library's pointer is a pointer to this
    jmp_buf escape;
    alb_image_info *info;
    alb_image_status status;
} error_manager;

static void fail(error_manager *errors, alb_image_status status, const char *message) {
    errors->status = status;
    alb_image_set_message(errors->info, message);
    longjmp(errors->escape, 1);
}

static void on_error(j_common_ptr common) {
    error_manager *errors = (error_manager *)common->err;
    char message[JMSG_LENGTH_MAX];
    common->err->format_message(common, message);
    fail(errors, common->err->msg_code == JERR_OUT_OF_MEMORY ? ALB_IMAGE_NO_MEMORY : ALB_IMAGE_BAD_DATA, message);
}

// Damage inside of the compressed data is a warning: the library goes on, as it does under Pillow.
static void on_message(j_common_ptr common, int level) {
    if (level < 0) common->err->num_warnings++;
}

static void print_nothing(j_common_ptr common) { (void)common; }

static void check_progress(j_common_ptr common) {
    if (((j_decompress_ptr)common)->input_scan_number > MAXIMUM_SCANS)
        fail((error_manager *)common->err, ALB_IMAGE_BAD_DATA, "more than 500 scans");
}

static void do_nothing(j_decompress_ptr jpeg) { (void)jpeg; }

// The whole file is in memory, so being asked for more means that it ends too early. The library's own memory source would
// invent an end marker and give grey rows; Pillow refuses such files.
static boolean refuse_more(j_decompress_ptr jpeg) {
    fail((error_manager *)jpeg->err, ALB_IMAGE_BAD_DATA, "the JPEG data is truncated");
    return FALSE;
}

static void skip(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    if ((size_t)count > jpeg->src->bytes_in_buffer) {
        refuse_more(jpeg);
        return;
    }
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

// Pillow's conversion of CMYK, with its assumption that JPEG files hold inverted values as Adobe writes them.
static uint8_t multiply_255(unsigned a, unsigned b) {
    unsigned product = a * b + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

static void cmyk_to_rgb(const uint8_t *src, uint8_t *dst, size_t width) {
    for (size_t x = 0; x < width; x++) {
        int white = src[4 * x + 3];  // 255 - k, where k = 255 - stored
        for (int c = 0; c < 3; c++) {
            int value = white - multiply_255(255u - src[4 * x + (size_t)c], (unsigned)white);
            dst[3 * x + (size_t)c] = (uint8_t)(value < 0 ? 0 : value);
        }
    }
}

static void grey_to_rgb(const uint8_t *src, uint8_t *dst, size_t width) {
    for (size_t x = 0; x < width; x++) dst[3 * x] = dst[3 * x + 1] = dst[3 * x + 2] = src[x];
}

// Sets the form in which the library gives its rows.
static void choose_output(j_decompress_ptr jpeg) {
    switch (jpeg->num_components) {
    case 1: jpeg->out_color_space = JCS_GRAYSCALE; break;
    case 3: jpeg->out_color_space = JCS_RGB; break;
    case 4: jpeg->out_color_space = JCS_CMYK; break;
    default: fail((error_manager *)jpeg->err, ALB_IMAGE_BAD_DATA, "neither 1 nor 3 nor 4 colour components");
    }
}

static void read_rows(j_decompress_ptr jpeg, uint8_t *rgb) {
    size_t width = jpeg->output_width;
    JSAMPARRAY row = NULL;
    if (jpeg->output_components != 3)
        row = jpeg->mem->alloc_sarray(
            (j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)(width * (size_t)jpeg->output_components), 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *dst = rgb + (size_t)jpeg->output_scanline * width * 3;
        if (row == NULL) {
            JSAMPROW direct = dst;
            jpeg_read_scanlines(jpeg, &direct, 1);
        } else {
            jpeg_read_scanlines(jpeg, row, 1);
            if (jpeg->output_components == 1) grey_to_rgb(row[0], dst, width);
            else cmyk_to_rgb(row[0], dst, width);
        }
    }
}

bool alb_jpeg_matches(const uint8_t *data, size_t size) {
    return size >= 3 && data[0] == 0xFF && data[1] == 0xD8 && data[2] == 0xFF;
}

alb_image_status alb_jpeg_read(const uint8_t *data, size_t size, uint8_t *rgb, alb_image_info *info) {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_source_mgr source = {
        .next_input_byte = data, .bytes_in_buffer = size, .init_source = do_nothing, .fill_input_buffer = refuse_more,
        .skip_input_data = skip, .resync_to_restart = jpeg_resync_to_restart, .term_source = do_nothing};
    struct jpeg_progress_mgr progress = {.progress_monitor = check_progress};
    error_manager errors = {.info = info, .status = ALB_IMAGE_OK};
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
    errors.base.output_message = print_nothing;
    if (setjmp(errors.escape)) {
        jpeg_destroy_decompress(&jpeg);
        return errors.status;
    }
    jpeg_create_decompress(&jpeg);
    jpeg.src = &source;
    jpeg.progress = &progress;
    jpeg_read_header(&jpeg, TRUE);
    choose_output(&jpeg);
    if (rgb == NULL) {
        info->width = jpeg.image_width;
        info->height = jpeg.image_height;
    } else {
        if (info->width != jpeg.image_width || info->height != jpeg.image_height)
            fail(&errors, ALB_IMAGE_BAD_DATA, "the file changed while it was read");
        jpeg_start_decompress(&jpeg);
        read_rows(&jpeg, rgb);
        jpeg_finish_decompress(&jpeg);
    }
    jpeg_destroy_decompress(&jpeg);
    return ALB_IMAGE_OK;
}
