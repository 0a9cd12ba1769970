#include "resample.h"

const alb_resample_variant alb_resample_table[] = {
    {ALB_ISA_SCALAR, alb_resample_row__scalar, alb_resample_add__scalar},
};
