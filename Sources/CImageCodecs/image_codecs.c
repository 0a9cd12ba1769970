#include "codecs.h"

#include <string.h>

void alb_image_set_message(alb_image_info *info, const char *text) {
    size_t length = 0;
    for (; text[length] != 0 && length + 1 < ALB_IMAGE_MESSAGE_SIZE; length++) {
        char character = text[length];
        info->message[length] = character >= 0x20 && character < 0x7F ? character : '?';
    }
    info->message[length] = 0;
}

static alb_image_status read(const uint8_t *data, size_t size, uint8_t *rgb, alb_image_info *info) {
    if (alb_jpeg_matches(data, size)) return alb_jpeg_read(data, size, rgb, info);
    if (alb_png_matches(data, size)) return alb_png_read(data, size, rgb, info);
    alb_image_set_message(info, "neither a JPEG nor a PNG file");
    return ALB_IMAGE_UNKNOWN_FORMAT;
}

alb_image_status alb_image_read_header(const uint8_t *data, size_t size, alb_image_info *info) {
    memset(info, 0, sizeof *info);
    return read(data, size, NULL, info);
}

alb_image_status alb_image_decode(const uint8_t *data, size_t size, uint8_t *rgb, alb_image_info *info) {
    info->message[0] = 0;
    return read(data, size, rgb, info);
}
