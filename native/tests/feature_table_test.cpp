#include "gather_fixture.h"

namespace tt_test {
namespace {

/// A good table on a device whose options tests spoil one by one: 3 rows; a single-valued feature, a
/// multi-valued one, and one through lists over 2 catalogue rows.
struct Parts {
  explicit Parts(const Context& context)
      : single(context, std::vector<int32_t>{0, 4, 2}),
        offsets(context, std::vector<int64_t>{0, 2, 2, 5}),
        multi(context, std::vector<int32_t>{1, 2, 3, 0, 1}),
        listed(context, std::vector<int32_t>{6, 7}),
        list_offsets(context, std::vector<int64_t>{0, 1, 1, 3}),
        list_rows(context, std::vector<int32_t>{1, 0, 0}) {
    features[0] = {nullptr, single, 3, 5, 0, TT_POOL_SUM, 0};
    features[1] = {offsets, multi, 5, 4, 1, TT_POOL_MEAN, 0};
    features[2] = {nullptr, listed, 2, 8, 0, TT_POOL_SQRTN, 1};
    options.struct_size = sizeof options;
    options.feature_count = 3;
    options.features = features;
    options.rows = 3;
    options.catalogue_rows = 2;
    options.list_offsets = list_offsets;
    options.list_rows = list_rows;
    options.list_count = 3;
  }

  tt_status create(const Context& context) {
    tt_feature_table* table = nullptr;
    const tt_status status = tt_feature_table_create(context, &options, &table);
    EXPECT_EQ(table != nullptr, status == TT_OK);
    TT_MUST(tt_feature_table_destroy(table));
    return status;
  }

  Buffer<int32_t> single;
  Buffer<int64_t> offsets;
  Buffer<int32_t> multi;
  Buffer<int32_t> listed;
  Buffer<int64_t> list_offsets;
  Buffer<int32_t> list_rows;
  tt_feature features[3] = {};
  tt_feature_table_options options{};
};

class FeatureTableTest : public OpTest {};
TT_ON_ALL_TARGETS(FeatureTableTest);

TEST_P(FeatureTableTest, GoodTable) {
  const Context context(target());
  Parts parts(context);
  TT_EXPECT_OK(parts.create(context));
  TT_EXPECT_OK(tt_feature_table_destroy(nullptr));
}

TEST_P(FeatureTableTest, BadShapes) {
  const Context context(target());
  tt_feature_table* table = nullptr;
  {
    Parts parts(context);
    EXPECT_BAD_ARGUMENT(tt_feature_table_create(nullptr, &parts.options, &table), "context");
    EXPECT_BAD_ARGUMENT(tt_feature_table_create(context, nullptr, &table), "options");
    EXPECT_BAD_ARGUMENT(tt_feature_table_create(context, &parts.options, nullptr), "table");
  }
  const auto with = [&](auto change, const char* name) {
    Parts parts(context);
    change(parts);
    EXPECT_BAD_ARGUMENT(parts.create(context), name);
  };
  with([](Parts& p) { p.options.struct_size = 8; }, "struct_size");
  with([](Parts& p) { p.options.feature_count = 0; }, "feature_count");
  with([](Parts& p) { p.options.feature_count = TT_MAX_FEATURES + 1; }, "feature_count");
  with([](Parts& p) { p.options.features = nullptr; }, "features");
  with([](Parts& p) { p.options.rows = 0; }, "rows");
  with([](Parts& p) { p.options.rows = int64_t{1} << 31; }, "rows");
  with([](Parts& p) { p.options.rows = 4; }, "features[0].value_count");
  with([](Parts& p) { p.options.catalogue_rows = 0; }, "catalogue_rows");
  with([](Parts& p) { p.options.catalogue_rows = 3; }, "features[2].value_count");
  with([](Parts& p) { p.options.list_count = -1; }, "list_count");
  with([](Parts& p) { p.options.list_rows = nullptr; }, "list_rows");
  with([](Parts& p) { p.options.list_offsets = nullptr; }, "list_count");
  with(
      [](Parts& p) {
        p.options.list_offsets = nullptr;
        p.options.list_count = 0;
      },
      "catalogue_rows");
  with(
      [](Parts& p) {
        p.options.list_offsets = nullptr;
        p.options.list_count = 0;
        p.options.catalogue_rows = 0;
      },
      "features[2].through_list");
  with([](Parts& p) { p.features[1].vocabulary = 0; }, "features[1].vocabulary");
  with([](Parts& p) { p.features[1].embedding = -1; }, "features[1].embedding");
  with([](Parts& p) { p.features[1].pooling = 3; }, "features[1].pooling");
  with([](Parts& p) { p.features[1].through_list = 2; }, "features[1].through_list");
  with([](Parts& p) { p.features[1].value_count = -1; }, "features[1].value_count");
  with([](Parts& p) { p.features[1].values = nullptr; }, "features[1].values");
}

// A table's contents are checked on every device, once.
TEST_P(FeatureTableTest, BadContents) {
  const Context context(target());
  const auto with = [&](auto change, const char* name, const char* expected, const char* got) {
    Parts parts(context);
    change(parts);
    EXPECT_BAD_ARGUMENT(parts.create(context), name);
    expect_expected(expected);
    expect_got(got);
  };
  with(
      [](Parts& p) {
        p.single.write({0, 5, 2});
      },
      "features[0].values[1]", "an id in [0, 5)", "5");
  with(
      [](Parts& p) {
        p.multi.write({1, 2, 3, -1, 9});
      },
      "features[1].values[3]", "an id in [0, 4)", "-1");
  with([](Parts& p) { p.listed.write({6, 8}); }, "features[2].values[1]", "an id in [0, 8)", "8");
  with([](Parts& p) { p.offsets.write({1, 2, 2, 5}); }, "features[1].offsets[0]", "0", "1");
  with(
      [](Parts& p) {
        p.offsets.write({0, 2, 1, 5});
      },
      "features[1].offsets[2]", "at least 2, the offset before it", "1");
  with(
      [](Parts& p) {
        p.offsets.write({0, 2, 2, 4});
      },
      "features[1].offsets[3]", "5, the number of values", "4");
  with(
      [](Parts& p) {
        p.list_offsets.write({0, 1, 1, 2});
      },
      "list_offsets[3]", "3, the number of values", "2");
  with(
      [](Parts& p) {
        p.list_offsets.write({0, 1, 0, 3});
      },
      "list_offsets[2]", "at least 1, the offset before it", "0");
  with([](Parts& p) { p.list_rows.write({1, 2, 0}); }, "list_rows[1]", "an id in [0, 2)", "2");
}

// With many mistakes the first one is named, for any number of threads.
TEST_P(FeatureTableTest, FirstMistakeIsNamed) {
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    HostTable host;
    std::vector<int32_t> values(1000003, 1);
    for (size_t i = 200001; i < values.size(); i += 1000) values[i] = 77;
    const Buffer<int32_t> device(context, values);
    const tt_feature feature{nullptr, device, 1000003, 2, 0, TT_POOL_SUM, 0};
    tt_feature_table_options options{};
    options.struct_size = sizeof options;
    options.feature_count = 1;
    options.features = &feature;
    options.rows = 1000003;
    tt_feature_table* table = nullptr;
    EXPECT_BAD_ARGUMENT(tt_feature_table_create(context, &options, &table),
                        "features[0].values[200001]");
  }
}

TEST_P(FeatureTableTest, OutlivesItsContext) {
  const int64_t before = tt_live_bytes();
  {
    const Context memory(target());
    tt_feature_table* table = nullptr;
    Parts parts(memory);
    {
      const Context context(target());
      TT_OK_OR_FAIL(tt_feature_table_create(context, &parts.options, &table));
    }
    EXPECT_GT(tt_live_bytes(), before);
    TT_EXPECT_OK(tt_feature_table_destroy(table));
  }
  EXPECT_EQ(tt_live_bytes(), before);
}

}  // namespace
}  // namespace tt_test
