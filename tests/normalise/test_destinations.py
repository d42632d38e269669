"""Destinations get what their own pages show: published inputs, normalised forms and digests."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.normalise.destinations import DESTINATIONS, export, plain

META = "developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters"
META_VECTORS = [
    ("email", "John_Smith@gmail.com", None, "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
    ("phone", "(650)555-1212", "US", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
    ("given_name", "Mary", None, "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
    ("given_name", "정", None, "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
    ("given_name", "Valéry", None, "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ("birth", "2/16/1997", "US", "01acdbf6ec7b4f478a225f1a246e5d6767eeab1a7ffa17f025265b5b94f40f0c"),
    ("country", "US", None, "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"),
]

META_CODE = "github.com/facebook/facebook-php-business-sdk test/FacebookAdsTest/Object/ServerSide/ServerSideNormalizeTest.php"
META_FORMS = [
    ("phone", "+442071838750", None, "442071838750"),
    ("postcode", "  98121", "US", "98121"),
    ("postcode", "98121-4892", "US", "98121"),
    ("postcode", "NR9 5AL", "GB", "nr95al"),
    ("city", "Menlo Park", None, "menlopark"),
    ("city", "Seattle-98121", None, "seattle"),
    ("city", "Washington D.C", None, "washingtondc"),
    ("country", "   US   ", None, "us"),
    ("country", "United States of America", None, None),
    ("email", "324342@@@@bar.com", None, None),
]

SNAP = (
    "developers.snap.com/api/marketing-api/Conversions-API/Parameters, github.com/Snapchat/business-sdk-python test/test_util.py"
)
BRITISH = "19f25a18866af88fc60189c3af85010a0b971cf976053787fe21e004538c20a0"
AMERICAN = "34053b331d29734f081bf74160cd33bc2f621b3b6f8ec991500bebf49f14e014"
SNAP_VECTORS = [
    ("email", "Person@Example.com", None, "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"),
    ("email", "    test123@example.com  ", None, "20b82517b67108ed3a171539dc5dd1da605660249b02f38dd70f572a545c7d18"),
    ("phone", "+44 844 412 4653", None, "dc008fda46e2e64002cf2f82a4906236282d431c4f75e5b60bfe79fc48546383"),
    ("phone", "+44-447-234-2344", None, BRITISH),
    ("phone", "0044-447-234-2344", None, BRITISH),
    ("phone", "+44-0447-234-2344", None, BRITISH),
    ("phone", "+44 0447 234 2344", None, BRITISH),
    ("phone", "447-234-2344", "US", AMERICAN),
    ("phone", "4472342344", "US", AMERICAN),
    ("phone", "+1-447-234-2344", None, AMERICAN),
    ("phone", "(447)-234-2344", "US", AMERICAN),
    ("phone", "447 234-2344", "US", AMERICAN),
    ("phone", "+1-(447) 234 2344", None, AMERICAN),
    ("given_name", "John", None, "96d9632f363564cc3032521409cf22a852f2032eec099ed5967c0d000cec607a"),
    ("given_name", "Raphaël", None, "e74bb89e718fe1e19c422a48382870399f8bf7ca8dfa008739e75b0be76627b7"),
]

TIKTOK = "ads.tiktok.com/help/article/how-to-create-a-custom-audience-with-a-customer-file (its line says johndoe by mistake)"
TIKTOK_FORMS = [  # ads.tiktok.com/help/article/customer-file and Segment's page on the Events API
    ("phone", "+442071838750", None, "+442071838750"),
    ("phone", "(213) 373-4253", "US", "+12133734253"),
]
TIKTOK_VECTORS = [
    ("email", "janedoe@gmail.com", None, "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"),
]

GOOGLE = "github.com/googleads/data-manager-node util/test/formatter.test.ts and data-manager-python tests/formatter_test.py"
ALEX = "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"
TOLL_FREE = "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"
GIVEN = "128a07bfe2df877c52076e60d7774cf5baaa046c5a6c48daf30ff43ecca2f814"
FAMILY = "77762c287e61ce065bee5c15464012c6fbe088398b8057627d5577249430d574"
GOOGLE_VECTORS = [
    ("email", "alexz@example.com", None, ALEX),
    ("email", "  alexz@example.com", None, ALEX),
    ("email", "  ALEXZ@example.com   ", None, ALEX),
    ("email", "  alexz@EXAMPLE.com   ", None, ALEX),
    ("phone", "+18005550100", None, TOLL_FREE),
    ("phone", "   +1-800-555-0100", None, TOLL_FREE),
    ("phone", "1-800-555-0100   ", "US", TOLL_FREE),
    ("given_name", "Givenname", None, GIVEN),
    ("given_name", "  GivenName  ", None, GIVEN),
    ("surname", "Familyname", None, FAMILY),
    ("surname", "  FamilyName ", None, FAMILY),
]
GOOGLE_FORMS = [
    ("email", "QuinnY@example.com", None, "quinny@example.com"),
    ("email", "QuinnY@EXAMPLE.com", None, "quinny@example.com"),
    ("email", "user.name+NYC@Example.com", None, "user.name+nyc@example.com"),
    ("email", "Jefferson.Loves.hiking@gmail.com", None, "jeffersonloveshiking@gmail.com"),
    ("email", "Jefferson.LOVES.Hiking@googlemail.com", None, "jeffersonloveshiking@googlemail.com"),
    ("email", "j.e.f..ferson.Loves.hiking@gmail.com", None, "jeffersonloveshiking@gmail.com"),
    ("email", "Cloudy.SanFrancisco+shopping@gmail.com", None, "cloudysanfrancisco@gmail.com"),
    ("email", "Cloudy.SanFrancisco+shopping@googlemail.com", None, "cloudysanfrancisco@googlemail.com"),
    ("email", "quinn", None, None),
    ("email", " @googlemail.com", None, None),
    ("email", " ...@gmail.com", None, None),
    ("email", "@example.com", None, None),
    ("phone", "1 800 555 0100", "US", "+18005550100"),
    ("phone", "18005550100", "US", "+18005550100"),
    ("phone", "+1 800-555-0100", None, "+18005550100"),
    ("phone", "441134960987", "GB", "+441134960987"),
    ("phone", "+441134960987", None, "+441134960987"),
    ("phone", "+44-113-496-0987", None, "+441134960987"),
    ("phone", " +A BCD EFG ", None, None),
    ("phone", "++++", None, None),
    ("given_name", " Alex   ", None, "alex"),
    ("given_name", " Mr. Alex   ", None, "alex"),
    ("given_name", " Mrs. Alex   ", None, "alex"),
    ("given_name", " Dr. Alex   ", None, "alex"),
    ("given_name", " Alex Dr.", None, "alex dr."),
    ("given_name", " Mralex   ", None, "mralex"),
    ("given_name", " Mr. ", None, None),
    ("surname", " Quinn   ", None, "quinn"),
    ("surname", "Quinn-Alex", None, "quinn-alex"),
    ("surname", " Quinn, Jr.   ", None, "quinn"),
    ("surname", " Quinn,Jr.   ", None, "quinn"),
    ("surname", " Quinn Sr.  ", None, "quinn"),
    ("surname", "quinn, jr. dds", None, "quinn"),
    ("surname", "quinn, jr., dds", None, "quinn"),
    ("surname", "Boardds", None, "boardds"),
    ("surname", "lacparm", None, "lacparm"),
    ("surname", ", Jr. ", None, None),
    ("surname", ",Jr.,DDS ", None, None),
    ("country", "  us  ", None, "US"),
    ("country", " usa ", None, None),
    ("country", " u2 ", None, None),
    ("postcode", " 1229-076  ", None, "1229-076"),
    ("postcode", " 94045  ", None, "94045"),
]

UID2 = (
    "unifiedid.com/docs/getting-started/gs-normalization-encoding, github.com/IABTechLab/uid2-operator "
    "InputNormalizationTest.java, github.com/IABTechLab/uid2-client-java InputUtilTests.java"
)
JANE = "ku4mBX7Z3qJTXWyLFB1INzkyR2WZGW4ANSJUiW21iI8="
TEST_GMAIL = "LkLfFrut8Tc3h/fIvYDiBKSbaMiau/DtaLBPQYszdMw="
TEST_TEST = "d1Lr/s4GLLX3SvQVMoQdIMfbQPMAGZYry+2V+0pZlQg="
DOTTED = "dvECjPKZHya0/SIhSGwP0m8SgTv1vzLxPULUOsm880M="
UID2_VECTORS = [
    ("email", "USER@example.com", None, "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ="),
    ("email", "MyEmail@example.com", None, "FsGNM28LJQ8OLZB0Us65ZYp07NrovJSGTCMSKnLMJ6U="),
    ("email", "MYEMAIL@example.com", None, "FsGNM28LJQ8OLZB0Us65ZYp07NrovJSGTCMSKnLMJ6U="),
    ("email", "My.Email@example.com", None, "4itTvG+HEnTzpiqzejyu1yFPwU1nYhWpaiQvz62hyB8="),
    ("email", "JANESAOIRSE@example.com", None, "1mcOepIAfxtf94Xx/IHlOqbT170GvfXEc83HKGwoS20="),
    ("email", "JaneSaoirse@example.com", None, "1mcOepIAfxtf94Xx/IHlOqbT170GvfXEc83HKGwoS20="),
    ("email", "jane.saoirse@example.com", None, "sZZDLHuYmiypHIN5mVfFFdpT5sE6vyC3j+qU8RfpC/g="),
    ("email", "Jane.Saoirse@example.com", None, "sZZDLHuYmiypHIN5mVfFFdpT5sE6vyC3j+qU8RfpC/g="),
    ("email", "JaneSaoirse+Work@example.com", None, "KKruSBUjDNO069iMUVImVQZm6RrAGZKeOtrD9mwogYA="),
    ("email", "JANE.SAOIRSE@gmail.com", None, JANE),
    ("email", "Jane.Saoirse@gmail.com", None, JANE),
    ("email", "JaneSaoirse+Work@gmail.com", None, JANE),
    ("email", "JANESaoirse@gmail.com", None, JANE),
    ("email", "janesaoirse@gmail.com", None, JANE),
    ("email", "JaneSaoirse+UID2@gmail.com", None, JANE),
    ("email", "JaneSaoirse+UID2@example.com", None, "bhQ2aMIGWT1ey4p7JyavdNlIQ4pe11/rrcv0u1jrxCc="),
    ("phone", "1 (234) 567-8901", "US", "EObwtHBUqDNZR33LNSMdtt5cafsYFuGmuY4ZLenlue4="),
    ("email", "TEst.TEST@Test.com ", None, DOTTED),
    ("email", "test.test@test.com", None, DOTTED),
    ("email", "test+test@test.com", None, "rQ4yzdOz4uG8N54326QyZD6/JwqrXn4lmy34cVCojB8="),
    ("email", "+test@test.com", None, "weFizOVVWKlLfyorbBU8oxYDv4HJtTZCPMyZ4THzUQE="),
    ("email", "test+test@gmail.com", None, "h5JGBrQTGorO7q6IaFMfu5cSqqB6XTp1aybOD11spnQ="),
    ("email", "testtest@test.com", None, TEST_TEST),
    ("email", " testtest@test.com", None, TEST_TEST),
    ("email", "testtest@test.com ", None, TEST_TEST),
    ("email", " testtest@test.com ", None, TEST_TEST),
    ("email", "  testtest@test.com  ", None, TEST_TEST),
    ("email", "test.test@gmail.com", None, TEST_GMAIL),
    ("email", " test.test@gmail.com", None, TEST_GMAIL),
    ("email", "test.test@gmail.com ", None, TEST_GMAIL),
    ("email", " test.test@gmail.com ", None, TEST_GMAIL),
    ("email", "  test.test@gmail.com  ", None, TEST_GMAIL),
    ("email", "TEstTEst@gmail.com  ", None, TEST_GMAIL),
    ("email", "TEstTEst@GMail.Com  ", None, TEST_GMAIL),
    ("email", " TEstTEst@GMail.Com  ", None, TEST_GMAIL),
    ("email", "TEstTEst@GMail.Com", None, TEST_GMAIL),
    ("email", "TEst.TEst@GMail.Com", None, TEST_GMAIL),
    ("email", "TEst.TEst+123@GMail.Com", None, TEST_GMAIL),
    ("email", "\U0001f60atesttest@test.com", None, "fAFEUqApQ0V/M9mLj/IO54CgKgtQuARKsOMqtFklD4k="),
    ("email", "testtest@\U0001f60atest.com", None, "tcng5pttf7Y2z4ylZTROvIMw1+IVrMpR4D1KeXSrdiM="),
    ("email", "testtest@test.com\U0001f60a", None, "0qI21FPLkuez/8RswfmircHPYz9Dtf7/Nch1rSWEQf0="),
]
UID2_FORMS = [  # the page's number of Singapore is left out: it reads 1243 before and 1234 after
    ("phone", "1 (234) 567-8901", "US", "+12345678901"),
    ("phone", "0491 570 006", "AU", "+61491570006"),
    *(
        ("email", text, None, None)
        for text in ("", " @", "@", "a@", "@b", "@b.com", "+", " ", "+@gmail.com", ".+@gmail.com", "a@ba@z.com")
    ),
]

HASHED = [
    *(("meta", *vector) for vector in META_VECTORS),
    *(("snap", *vector) for vector in SNAP_VECTORS),
    *(("tiktok", *vector) for vector in TIKTOK_VECTORS),
    *(("google", *vector) for vector in GOOGLE_VECTORS),
    *(("uid2", *vector) for vector in UID2_VECTORS),
]
FORMS = [
    *(("meta", *form) for form in META_FORMS),
    *(("tiktok", *form) for form in TIKTOK_FORMS),
    *(("google", *form) for form in GOOGLE_FORMS),
    *(("uid2", *form) for form in UID2_FORMS),
]


@pytest.mark.parametrize(("destination", "field", "text", "region", "digest"), HASHED)
def test_a_published_input_gives_the_published_digest(
    destination: str, field: str, text: str, region: str | None, digest: str
) -> None:
    assert export(destination, field, text, region) == digest


@pytest.mark.parametrize(("destination", "field", "text", "region", "form"), FORMS)
def test_a_published_input_gives_the_published_form(
    destination: str, field: str, text: str, region: str | None, form: str | None
) -> None:
    assert plain(destination, field, text, region) == form


def test_there_are_at_least_sixty_published_vectors() -> None:
    assert len(HASHED) >= 60
    assert len(set(HASHED)) == len(HASHED)


def test_uid2_wants_the_raw_digest_in_base64_and_not_its_hexadecimal_text() -> None:
    raw = hashlib.sha256(b"user@example.com")
    assert export("uid2", "email", "user@example.com") == b64encode(raw.digest()).decode()
    assert export("uid2", "email", "user@example.com") != b64encode(raw.hexdigest().encode()).decode()


def test_a_phone_number_is_another_hash_with_plus_and_without() -> None:
    digests = {name: export(name, "phone", "+44 7400 123456") for name in ("meta", "google", "uid2", "tiktok", "snap")}
    assert digests["meta"] == digests["snap"] == hashlib.sha256(b"447400123456").hexdigest()
    assert digests["google"] == digests["tiktok"] == hashlib.sha256(b"+447400123456").hexdigest()
    assert len({*digests.values()}) == 3, "uid2 writes base64"


def test_a_gmail_address_with_dots_is_another_hash_where_dots_stay() -> None:
    text = "Jane.Doe+shop@googlemail.com"
    assert plain("google", "email", text) == "janedoe@googlemail.com"
    assert plain("uid2", "email", text) == plain("meta", "email", text) == "jane.doe+shop@googlemail.com"


@pytest.mark.parametrize(
    ("field", "text", "region", "form"),
    [
        ("city", "New York", None, "newyork"),
        ("city", "Saint-Étienne", None, "saintétienne"),
        ("postcode", "94035-1234", "US", "94035"),
        ("postcode", "M1 1AE", "GB", "m11ae"),
        ("gender", "Female", None, "f"),
        ("gender", "unknown", None, None),
        ("surname", "O’Neill-Smith", None, "oneillsmith"),
        ("birth", "1997", None, None),
        ("birth", "1997-02-31", None, None),
    ],
)
def test_meta_takes_places_without_gaps_and_names_without_punctuation(
    field: str, text: str, region: str | None, form: str | None
) -> None:
    assert plain("meta", field, text, region) == form


def test_an_unknown_destination_or_field_is_named_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no destination 'myspace'. Use one of: meta, google"):
        export("myspace", "email", "a@b.example")
    with pytest.raises(ValueError, match=r"uid2 has no rule for 'city'. Use one of: email, phone"):
        export("uid2", "city", "Paris")


@given(st.sampled_from([(name, field) for name, each in DESTINATIONS.items() for field in each.fields]), st.text())
def test_no_text_breaks_an_exporter_and_what_it_hashes_stays_the_same_when_normalised_again(
    where: tuple[str, str], text: str
) -> None:
    found = plain(*where, text)
    export(*where, text)
    if found is not None and where[1] not in ("phone", "birth"):
        assert plain(*where, found) == found
