"""What the name of a column says about it, in the languages that tables are written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from whence.normalise.text import words


@dataclass(frozen=True)
class Words:
    """How one meaning is written in headers, folded."""

    whole: frozenset[str]
    """Words, or a whole name without its spaces: too short, or too common inside others, to be looked for there."""
    inside: tuple[str, ...] = ()
    """Stems that may stand anywhere in a word: Telefonnummer, födelsedatum."""


def says(name: str) -> dict[str, str]:
    """Each kind that a header speaks of, with the word that does, the most telling first.

    >>> says("Teléfono móvil"), says("C.P."), says("födelsedatum"), says("custEmail")
    ({'phone': 'movil'}, {'postcode': 'cp'}, {'date': 'fodelse'}, {'email': 'email'})
    """
    return dict(_says(name))


@cache
def _says(name: str) -> tuple[tuple[str, str], ...]:
    parts = split(name)
    joined = "".join(parts)
    found = []
    for kind, known in MEANINGS.items():
        word = _found(known, parts, joined)
        if word:
            found.append((kind, word))
    return tuple(found)


def _found(known: Words, parts: tuple[str, ...], joined: str) -> str | None:
    whole = next((part for part in (*parts, joined) if part in known.whole), None)
    return whole or next((stem for stem in known.inside if stem in joined), None)


@cache
def split(name: str) -> tuple[str, ...]:
    """The folded words of a header; camel case, digits and the path before the last / or # apart.

    >>> split("http://x.org/#birthDate"), split("F. Nacimiento"), split("addr_2")
    (('birth', 'date'), ('f', 'nacimiento'), ('addr',))
    """
    last = re.split(r"[/#]", name.rstrip("/#"))[-1] if "://" in name or "#" in name else name
    spaced = re.sub(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])", " ", last)
    return tuple(re.findall(r"[^\W\d_]+", words(spaced.replace("_", " ")) or ""))


def folded(name: str) -> str:
    """A header as it is compared with another's.

    >>> folded("Birth_Date") == folded("birth date")
    True
    """
    return " ".join(re.findall(r"[^\W_]+", words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")) or name))


def _words(whole: str, inside: str = "") -> Words:
    return Words(frozenset(whole.split()), tuple(inside.split()))


MEANINGS: Mapping[str, Words] = {
    "email": _words(
        "mail email epost posta eposta youxiang meru pochta",
        "email emailadr courriel correoe correoelec sahkopost メール 邮箱 почта البريد",
    ),
    "url": _words("url uri www web link href homepage website site sitio internet wangzhi", "website webseite webadr weburl"),
    "phone": _words(
        "phone tel mobile mobil handy movil cell gsm fax telf tlf tlfn puh puhelin telefon cellulare cellulaire portable denwa "
        "dianhua shouji hatif telemovel phoneno tfno",
        "telephone telefon telefoon phone celular rufnummer telemov puhelin matkapuh handynr mobilnummer mobiltel 電話 电话 手机 携帯 телефон هاتف",
    ),
    "postcode": _words(
        "zip plz cp cap cep psc postal postcode irsz pin pincode postnr postnummer yubin indeks youbian",
        "zipcode postcode postalcode postleitzahl codepostal codigopostal postinumero iranyitoszam kodpoczt postakodu codpostal "
        "codicepostale 郵便 邮编 邮政编码 индекс",
    ),
    "date": _words(
        "dob date dt born datum fecha data dato ddn geb gebdat birthday tarih tarihi pvm paiva dat dogum shengri tanjobi",
        "birth geburt naissance nacimient nascita nasciment geboorte geboren fodelse fodsel narozen nastere szulet syntyma "
        "urodzen rozhden tarix 生年月日 日期 出生 рожден дата تاريخ",
    ),
    "year": _words("year jahr annee ano anno jaar rok vuosi yil nian год", "birthyear baujahr erscheinungsjahr"),
    "price": _words(
        "price preis prix precio prezzo preco prijs pris cena pret hinta fiyat amount betrag importe importo montant cost costo"
    ),
    "latitude": _words("lat latitude latitud latitudine breitengrad breddegrad leveysaste"),
    "longitude": _words("lon lng long longitude longitud longitudine langengrad laengengrad lengdegrad pituusaste"),
    "given_name": _words(
        "first fst given forename fname prenom nombre nome vorname voornaam fornamn fornavn jmeno prenume imie imya adi ad ime "
        "keresztnev utonev etunimi mei 名 имя",
        "firstname givenname forename vorname voornaam tilltalsnamn keresztnev etunimi nombredepila prenom",
    ),
    "surname": _words(
        "surname last lst family lname apellido apellidos cognome sobrenome apelido nume nom soyad soyadi sei myoji prezime familiya 姓 苗字 фамилия",
        "surname lastname familyname nachname familienname zuname nomdefamille nombredefamil achternaam efternamn efternavn "
        "prijmeni vezeteknev csaladnev sukunimi nazwisk apellid",
    ),
    "address": _words(
        "address addr street str rue calle via rua gata gade vej ulice utca katu osoite cim adres adresa adresi adrese voie "
        "strada jusho dizhi unwan ulica domicilio morada",
        "address strasse anschrift adresse adress direccion domicili indirizzo endereco logradouro straat osoite lakcim 住所 地址 адрес العنوان",
    ),
    "place": _words(
        "city town place suburb state region country county province ort stadt land ville commune pays ciudad localidad "
        "poblacion municipio provincia pais citta comune paese cidade concelho stad plaats gemeente kommun mesto obec okres "
        "oras judet localitate varos megye kaupunki kunta sehir ilce ulke gorod shi nation borough district location "
        "localite miasto",
        "wohnort woonplaats hometown birthplace geburtsort lieudenais lugarden postort bundesland 城市 都市 город страна المدينة",
    ),
    "name": _words(
        "name nm naam namn navn nev nimi isim fullname author authors autor auteur auteurs autore autores autoren contact person "
        "xingming namae verfasser editor director actor actors performer artist artista artiste interpret kunstler kunstnar zpevak esittaja",
        "fullname personname kundenname customername clientname patientname nombrecomplet nomcomplet nomecomplet 氏名 姓名 名前 фио الاسم",
    ),
    "code": _words(
        "ssn nss sku isbn issn ean upc gtin asin mpn imei iban bic vat nif dni cif cui siren siret doi model modelno serial "
        "passport nin bsn nino rfc cpf cnpj personnummer cpr hetu vin lei barcode artnr modell modele modelo",
        "modelno modelnumber partnumber serialn steuernr steuernummer barcode socialsec sozialvers personnummer henkilotun "
        "artikelnummer rodnecislo taxid vatid vatno codicefisc socsec modelnum",
    ),
    "text": _words(
        "title titel titre titulo titolo description beschreibung abstract text notes note comment summary bezeichnung product "
        "produkt produit producto titul otsikko rubrik company firma firm organisation organization societe empresa "
        "azienda bedrijf foretag virksomhed yritys ceg sirket business vendor supplier merchant lieferant fournisseur proveedor produs termek tuote song track album",
        "description beschreib descripc descrip productname produktname firmenname companyname kommentar bemerkung raisonsoc razonsoc",
    ),
}
"""The order is that of how telling they are: a `date of birth, place` is a date before it is a place."""

FIRMS = frozenset(
    {
        "company",
        "firm",
        "firma",
        "organisation",
        "organization",
        "societe",
        "empresa",
        "azienda",
        "bedrijf",
        "business",
        "vendor",
        "supplier",
        "merchant",
        "lieferant",
        "fournisseur",
        "proveedor",
    }
)
"""Words for whose name is no person's."""
ROW = _words("id uid uuid guid key rowid recid index idx pk oid objectid tunnus azonosito identifikator clave cle")
"""Words for what names a row."""
NUMBERED = _words(
    "no nr num number numero nummer numer nro cislo sorszam numara n code codigo kod kode koodi record rec ref reference "
    "referencia referenz aktenzeichen expediente dossier bianhao bango nomer raqm matricule matricula matrikel row line seq lfd",
    "kundennr kundennummer customerno customernumber clientno recordid rownum laufnummer belegnr vorgangsnr",
)
"""Weaker ones: what names a row, or a person, or a thing."""
KNOWN = frozenset({"cluster", "label", "entity", "truth", "golden", "person"})
SOURCES = frozenset({"source", "dataset", "quelle", "origen", "fonte", "provider", "herkunft", "bron", "kilde", "kalla", "zdroj"})
BESIDE = frozenset({"data", "id", "name", "system", "file", "table", "db", "set", "record", "key", "code", "type", "no", "nr"})
"""What may stand beside such a word; the source of a lead, of traffic or of money is another thing."""


def names_a_row(name: str) -> int:
    """2 where a header says that it names rows, 1 where it may, 0 where it does not.

    >>> names_a_row("customer_id"), names_a_row("Akten-Nr."), names_a_row("city")
    (2, 1, 0)
    """
    parts = split(name)
    joined = "".join(parts)
    if _found(ROW, parts, joined) or not name or joined in ("unnamed", "rownumber"):
        return 2
    return 1 if _found(NUMBERED, parts, joined) else 0


def is_known_answer(name: str) -> bool:
    """Whether a header says that the column holds the true person of each row."""
    parts = set(split(name))
    return bool(parts & KNOWN) and bool(parts & {"id", "cluster", "label"})


def is_source(name: str) -> bool:
    """Whether a header says that the column tells where a row is from.

    >>> is_source("data_source"), is_source("SourceID"), is_source("LeadSource"), is_source("utm_source")
    (True, True, False, False)
    """
    parts = set(split(name))
    return bool(parts & SOURCES) and parts <= SOURCES | BESIDE


BIRTH = _words(
    "dob birth born birthday geb gebdat ddn dogum shengri tanjobi",
    "birth geburt naissance nacimient nascita nasciment geboort geboren fodelse fodsel narozen nastere szulet syntyma urodzen "
    "rozhden 生年月日 出生 рожден",
)


def is_birth(name: str) -> bool:
    """Whether a header speaks of a birth, which is on one day wherever it is written.

    >>> is_birth("Geburtsdatum"), is_birth("transaction_date")
    (True, False)
    """
    parts = split(name)
    return _found(BIRTH, parts, "".join(parts)) is not None


ROLES = _words(
    "guest passenger holder customer client patient candidate applicant employee student pupil teacher member subscriber attendee "
    "participant visitor tenant owner buyer recipient consignee payer payee beneficiary insured policyholder cardholder donor "
    "voter traveller traveler "
    "kunde gast patientin bewerber mitarbeiter schuler teilnehmer mitglied inhaber mieter empfanger fahrgast reisender besteller "
    "cliente huesped pasajero paciente titular alumno empleado socio inquilino destinatario candidato comprador viajero "
    "voyageur passager titulaire eleve locataire destinataire candidat employe adherent acheteur ospite passeggero paziente "
    "intestatario studente dipendente iscritto inquilina acquirente hospede passageiro aluno funcionario "
    "klant huurder reiziger ontvanger werknemer deelnemer kund gast resenar kunden passasjer ansatt asiakas potilas vieras "
    "klient gosc pacjent pasazer odbiorca uczestnik zakaznik pasazier musteri yolcu hasta misafir ogrenci cestujici klijent ugyfel utas",
)


def is_person(name: str) -> bool:
    """Whether a header speaks of what somebody is to us, such as a guest: whole names, where the values are of several words.

    >>> is_person("guest"), is_person("ticket_holder"), is_person("title")
    (True, True, False)
    """
    return not ROLES.whole.isdisjoint(split(name))


TITLES = _words(
    "title titel titre titulo titolo titul otsikko rubrik tytul baslik cim naslov titlu product produkt produit producto prodotto "
    "produto produs termek tuote song track album book film movie",
    "productname produktname produkttitel producttitle",
)
ABOUT = _words(
    "description note notes comment remark abstract text summary beschreibung kommentar bemerkung code number no id nr type kind "
    "category group line job",
    "descri beschreib",
)


def is_title(name: str) -> bool:
    """Whether a header says that the column holds what a thing is called, and nothing that is said of it.

    >>> is_title("title"), is_title("Produkttitel"), is_title("product_description"), is_title("event")
    (True, True, False, False)
    """
    parts = split(name)
    joined = "".join(parts)
    return _found(TITLES, parts, joined) is not None and _found(ABOUT, parts, joined) is None


LISTERS = _words(
    "retailer seller merchant shop store vendor supplier dealer reseller marketplace portal platform channel outlet branch agent agency "
    "broker provider distributor wholesaler pharmacy library archive registry register system database catalog catalogue list feed "
    "website site publisher origin "
    "handler verkaufer anbieter laden filiale makler lieferant marktplatz plattform kanal apotheke bibliothek katalog liste "
    "vendeur magasin boutique marchand fournisseur agence plateforme bibliotheque pharmacie "
    "tienda vendedor proveedor comercio agencia plataforma farmacia negozio venditore fornitore agenzia piattaforma loja fornecedor "
    "winkel verkoper leverancier butik saljare leverantor sklep sprzedawca dostawca satici magaza",
    "retailer merchant marketplace handler verkaufer lieferant",
)


def is_lister(name: str) -> bool:
    """Whether a header says who lists a thing, or where it is listed: one thing is often listed by several.

    >>> is_lister("retailer"), is_lister("shop_name"), is_lister("size"), is_lister("room_type")
    (True, True, False, False)
    """
    parts = split(name)
    return _found(LISTERS, parts, "".join(parts)) is not None
