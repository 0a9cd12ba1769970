/// JPEG and PNG files to 8-bit RGB and back: a shim over libjpeg(-turbo) and libpng.
///
/// The libraries report errors by longjmp; that stays inside of these functions. Their warnings are dropped: nothing is
/// ever printed. Decoded pixels are those of Pillow's `Image.open(file).convert("RGB")`; see the README beside this file.
#ifndef IMAGE_CODECS_H
#define IMAGE_CODECS_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    ALB_IMAGE_OK = 0,
    ALB_IMAGE_UNKNOWN_FORMAT = 1,  ///< Neither JPEG nor PNG by its first bytes.
    ALB_IMAGE_BAD_DATA = 2,        ///< Damaged, truncated or of an unsupported kind; the message says which.
    ALB_IMAGE_NO_MEMORY = 3
} alb_image_status;

/// Bytes of a message with its terminating zero.
#define ALB_IMAGE_MESSAGE_SIZE 200

/// What a header tells, or why a file was refused.
typedef struct {
    uint32_t width;   ///< At least 1.
    uint32_t height;  ///< At least 1.
    char message[ALB_IMAGE_MESSAGE_SIZE];  ///< One line of ASCII; empty where all went well.
} alb_image_info;

/// Reads width and height, and allocates nothing that depends on them.
/// @param[in]  data  The whole file, `size` bytes.
/// @param[out] info  Size, or the message of a failure.
alb_image_status alb_image_read_header(const uint8_t *_Nonnull data, size_t size, alb_image_info *_Nonnull info);

/// Decodes to RGB.
/// @param[in]  data  The whole file, `size` bytes.
/// @param[out] rgb   Rows of width * 3 bytes, height of them, as alb_image_read_header gave them. Contents are undefined
/// after a failure.
/// @param[in,out] info  What alb_image_read_header gave; the message of a failure.
alb_image_status alb_image_decode(
    const uint8_t *_Nonnull data, size_t size, uint8_t *_Nonnull rgb, alb_image_info *_Nonnull info);

/// Encodes RGB pixels as a PNG without any metadata: equal pixels give equal bytes.
/// @param[in]  rgb   Rows of width * 3 bytes.
/// @param[out] png   The file, to be freed with alb_png_free; null after a failure.
/// @param[out] size  Its bytes.
alb_image_status alb_png_encode(
    const uint8_t *_Nonnull rgb, uint32_t width, uint32_t height, uint8_t *_Nullable *_Nonnull png, size_t *_Nonnull size,
    alb_image_info *_Nonnull info);

/// Frees what alb_png_encode made.
void alb_png_free(uint8_t *_Nullable png);

#endif
