#include "worker/image/jpeg_decoder.h"

#include <string.h>

static void huffman_keep(JHUFF_TBL *const from[NUM_HUFF_TBLS], bool has[NUM_HUFF_TBLS],
                         JHUFF_TBL to[NUM_HUFF_TBLS])
{
    for (int i = 0; i < NUM_HUFF_TBLS; i++) {
        has[i] = from[i] != NULL;
        if (has[i])
            to[i] = *from[i];
    }
}

static bool huffman_is(JHUFF_TBL *const one[NUM_HUFF_TBLS], const bool has[NUM_HUFF_TBLS],
                       const JHUFF_TBL other[NUM_HUFF_TBLS])
{
    for (int i = 0; i < NUM_HUFF_TBLS; i++)
        if ((one[i] != NULL) != has[i] ||
            (has[i] && (memcmp(one[i]->bits, other[i].bits, sizeof other[i].bits) != 0 ||
                        memcmp(one[i]->huffval, other[i].huffval, sizeof other[i].huffval) != 0)))
            return false;
    return true;
}

void image_jpeg_decoder_keep_tables(struct image_jpeg *jpeg)
{
    const struct jpeg_decompress_struct *lib = &jpeg->lib;
    for (int i = 0; i < NUM_QUANT_TBLS; i++) {
        jpeg->left.has_quant[i] = lib->quant_tbl_ptrs[i] != NULL;
        if (jpeg->left.has_quant[i])
            jpeg->left.quant[i] = *lib->quant_tbl_ptrs[i];
    }
    huffman_keep(lib->dc_huff_tbl_ptrs, jpeg->left.has_dc, jpeg->left.dc);
    huffman_keep(lib->ac_huff_tbl_ptrs, jpeg->left.has_ac, jpeg->left.ac);
    jpeg->known = jpeg->tables;
}

bool image_jpeg_decoder_has_tables(const struct image_jpeg *jpeg, const struct bytes *tables)
{
    const struct jpeg_decompress_struct *lib = &jpeg->lib;
    if (!jpeg->created || tables == NULL || jpeg->known != tables)
        return false;
    for (int i = 0; i < NUM_QUANT_TBLS; i++)
        if ((lib->quant_tbl_ptrs[i] != NULL) != jpeg->left.has_quant[i] ||
            (jpeg->left.has_quant[i] && memcmp(lib->quant_tbl_ptrs[i]->quantval, jpeg->left.quant[i].quantval,
                                               sizeof jpeg->left.quant[i].quantval) != 0))
            return false;
    return huffman_is(lib->dc_huff_tbl_ptrs, jpeg->left.has_dc, jpeg->left.dc) &&
           huffman_is(lib->ac_huff_tbl_ptrs, jpeg->left.has_ac, jpeg->left.ac);
}
