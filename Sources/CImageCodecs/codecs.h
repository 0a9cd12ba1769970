/// What the files of this target share.
#ifndef ALB_CODECS_H
#define ALB_CODECS_H

#include "image_codecs.h"

#include <stdbool.h>

bool alb_jpeg_matches(const uint8_t *data, size_t size);
bool alb_png_matches(const uint8_t *data, size_t size);

/// Header, and pixels where `rgb` is not null.
alb_image_status alb_jpeg_read(const uint8_t *data, size_t size, uint8_t *rgb, alb_image_info *info);
alb_image_status alb_png_read(const uint8_t *data, size_t size, uint8_t *rgb, alb_image_info *info);

/// Stores a message, cut to fit and with everything but printable ASCII replaced: libraries quote bytes of the file.
void alb_image_set_message(alb_image_info *info, const char *text);

#endif
