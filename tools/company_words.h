/* company_words.h - the words that the sample company is made of. Arrays of `_n` elements. */
#ifndef TOOLS_COMPANY_WORDS_H
#define TOOLS_COMPANY_WORDS_H

typedef struct word_name {
    const char *text;
    const char *plain; /* lower-case ASCII, for an e-mail address */
} word_name;

typedef struct word_city {
    const char *name, *country, *region, *tz, *dial, *currency;
} word_city;

extern const word_name words_given[];
extern const unsigned words_given_n;
extern const word_name words_family[];
extern const unsigned words_family_n;
extern const word_city words_city[];
extern const unsigned words_city_n;
extern const char *const words_stem[];
extern const unsigned words_stem_n;
extern const char *const words_field[];
extern const unsigned words_field_n;
extern const char *const words_form[];
extern const unsigned words_form_n;
extern const char *const words_industry[];
extern const unsigned words_industry_n;
extern const char *const words_title[];
extern const unsigned words_title_n;
extern const char *const words_source[];
extern const unsigned words_source_n;
extern const char *const words_tag[];
extern const unsigned words_tag_n;
extern const char *const words_street[];
extern const unsigned words_street_n;
extern const char *const words_goods_kind[];
extern const unsigned words_goods_kind_n;
extern const char *const words_goods[];
extern const unsigned words_goods_n;
extern const char *const words_subject[];
extern const unsigned words_subject_n;
extern const char *const words_sentence[];
extern const unsigned words_sentence_n;
extern const char *const words_complaint[];
extern const unsigned words_complaint_n;
extern const char *const words_next_step[];
extern const unsigned words_next_step_n;

#endif
